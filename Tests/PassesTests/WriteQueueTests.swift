import Checkpoints
import Kernels
import Passes
import Testing

@Suite struct WriteQueueTests {
  private static func tensors(_ count: Int, byteCount: Int) -> [TensorInfo] {
    (0..<count).map { TensorInfo(name: "t\($0)", dtype: .u8, shape: [byteCount]) }
  }

  private func write(_ tensors: [TensorInfo], to writer: RecordingWriter, startsOften: Bool) throws {
    var queue = WriteQueue(writer)
    defer { queue.wait() }
    for (index, tensor) in tensors.enumerated() {
      try queue.add(tensor, TensorBytes([UInt8](repeating: UInt8(index), count: tensor.byteCount)))
      if startsOften { try queue.startWriting() }
    }
    try queue.finish()
  }

  @Test(arguments: [1, 2, 8], [false, true])
  func `writes every tensor once, in order`(threads: Int, startsOften: Bool) throws {
    let tensors = Self.tensors(20, byteCount: 3)
    let writer = RecordingWriter()
    try ThreadLimit.with(threads) { try write(tensors, to: writer, startsOften: startsOften) }
    #expect(writer.names == tensors.map(\.name))
    #expect(writer.bytes == (0..<20).flatMap { [UInt8](repeating: $0, count: 3) })
  }

  @Test func `starts to write when much is waiting`() throws {
    let writer = RecordingWriter()
    try ThreadLimit.with(1) {
      var queue = WriteQueue(writer)
      for tensor in Self.tensors(3, byteCount: 40 << 20) {
        try queue.add(tensor, TensorBytes([UInt8](repeating: 0, count: tensor.byteCount)))
      }
      #expect(writer.names == ["t0", "t1"])
      try queue.finish()
    }
    #expect(writer.names == ["t0", "t1", "t2"])
  }

  @Test(arguments: [1, 2])
  func `reports the writer's error and writes nothing after it`(threads: Int) throws {
    let writer = RecordingWriter(failsAt: "t2")
    let error = #expect(throws: FormatError.self) {
      try ThreadLimit.with(threads) {
        try write(Self.tensors(9, byteCount: 1), to: writer, startsOften: true)
      }
    }
    #expect(error?.path == "t2")
    #expect(writer.names == ["t0", "t1"])
  }
}

/// Keeps what is written.
private final class RecordingWriter: CheckpointWriter {
  private(set) var names: [String] = []
  private(set) var bytes: [UInt8] = []
  private let failing: String?

  init(failsAt failing: String? = nil) { self.failing = failing }

  func write(_ tensor: TensorInfo, _ bytes: RawSpan) throws {
    guard tensor.name != failing else { throw FormatError(tensor.name, .system("is full")) }
    names.append(tensor.name)
    self.bytes += bytes.copiedBytes()
  }

  func write(_ asset: Asset, _ bytes: RawSpan) throws {}

  func finish() throws -> Int { bytes.count }
}
