import TestSupport
import Testing

/// Processes that mpirun or srun started, in a program that was built without MPI.
@Suite struct SharedCommandTests {
  /// Runs the program as one of several processes.
  private func start(
    _ variables: String, _ arguments: String..., in folder: TemporaryFolder
  ) throws -> Program.Result {
    try Program(arguments, in: folder, script: "\(variables) exec \"$0\" \"$@\"").wait()
  }

  #if !MPI
    @Test(arguments: [
      "OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_RANK=0", "PMI_SIZE=4 PMI_RANK=0",
      "SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=0",
    ])
    func `the first of several processes says how to build with MPI`(variables: String) throws {
      let folder = try folderWithModel()
      let result = try start(variables, "quantize", "model", "out.rilq", in: folder)
      #expect(result.code == 64)
      #expect(
        result.error
          == "rilq: 4 processes were started, but this program was built without MPI; start one, or build it with "
          + "'swift build -c release --traits MPI'\n")
      #expect(try folder.names() == ["model"])
    }

    @Test func `the others say nothing`() throws {
      let folder = try folderWithModel()
      let result = try start(
        "OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_RANK=2", "quantize", "model", "out.rilq", in: folder)
      #expect(result.error.isEmpty && result.output.isEmpty)
      #expect(try folder.names() == ["model"])
    }
  #endif

  @Test func `a command that several processes cannot share is refused`() throws {
    let folder = try folderWithModel()
    let result = try start(
      "OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_RANK=0", "inspect", "model", in: folder)
    #expect(result.code == 64)
    #expect(result.error == "rilq: 'inspect' is the work of one process; 2 were started, take one\n")
  }

  @Test(arguments: ["OMPI_COMM_WORLD_SIZE=1", "SLURM_NTASKS=4 SLURM_PROCID=0"])
  func `one process works as without them`(variables: String) throws {
    let folder = try folderWithModel()
    let result = try start(variables, "quantize", "model", "out.rilq", "--quiet", in: folder)
    #expect(result.code == 0)
    #expect(try folder.names().contains("out.rilq"))
  }
}
