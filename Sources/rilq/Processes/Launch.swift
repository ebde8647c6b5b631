import Foundation

/// How this process was started: alone, or with others by `mpirun` or `srun`.
///
/// It is read from the environment, so that a program that was started alone never starts MPI.
struct Launch: Equatable {
  /// The number of processes; 1 when this one was started alone.
  let count: Int
  /// The number of this process, from 0.
  let rank: Int

  /// Reads the variables of Open MPI, of PMI, and of a SLURM step.
  init(environment: [String: String] = ProcessInfo.processInfo.environment) {
    func number(_ names: String...) -> Int? {
      names.lazy.compactMap { environment[$0] }.compactMap { Int($0) }.first
    }
    count = max(number("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS") ?? 1, 1)
    rank = count == 1 ? 0 : number("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "SLURM_PROCID") ?? 0
  }
}
