import Checkpoints
import TestSupport
import Testing

@Suite(.enabled(if: PythonPeer.has("safetensors", "numpy"), "skipped: no Python with safetensors and numpy"))
struct `Python's safetensors` {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test func `reads what we write`() throws {
    let sample = SampleCheckpoint(
      [
        TensorInfo(name: "b", dtype: .u8, shape: [3]), TensorInfo(name: "a", dtype: .i32, shape: [2, 2]),
        TensorInfo(name: "é\"\n", dtype: .i64, shape: []),
        TensorInfo(name: "none", dtype: .f32, shape: [0, 5]),
      ], seed: 30)
    try sample.write(to: folder.path)
    let program = """
      import sys
      from safetensors import safe_open
      with safe_open(sys.argv[1], "np") as f:
        print(f.metadata())
        for k in sorted(f.keys()):
          t = f.get_tensor(k)
          print(k.encode(), t.dtype, t.shape, list(t.tobytes()))
      """
    func bytes(_ name: String) -> String { "\(sample.values[name] ?? [])" }
    #expect(
      try PythonPeer.run(program, [folder.path("model.safetensors")]) == #"""
        {'format': 'pt'}
        b'a' int32 (2, 2) \#(bytes("a"))
        b'b' uint8 (3,) \#(bytes("b"))
        b'none' float32 (0, 5) []
        b'\xc3\xa9"\n' int64 () \#(bytes("é\"\n"))

        """#)
  }

  @Test func `writes what we read`() throws {
    let program = """
      import sys, numpy
      from safetensors.numpy import save_file
      save_file({"a": numpy.arange(6, dtype=numpy.float16).reshape(2, 3), "b": numpy.array(7, dtype=numpy.int8)},
                sys.argv[1], {"x": "y"})
      """
    let path = folder.path("x.safetensors")
    try PythonPeer.run(program, [path])
    let checkpoint = try Checkpoint.open(path: path)
    #expect(checkpoint.tensor(named: "a") == TensorInfo(name: "a", dtype: .f16, shape: [2, 3]))
    #expect(try checkpoint.bytes(of: "a").array == [0, 0, 0, 0x3C, 0, 0x40, 0, 0x42, 0, 0x44, 0, 0x45])
    #expect(try checkpoint.bytes(of: "b").array == [7])
  }
}
