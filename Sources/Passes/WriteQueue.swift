package import Checkpoints
import Kernels

/// Writes tensors in order on a thread of its own, while its owner makes the next ones.
///
/// Only one thread uses the writer at a time. Besides the tensors that are being written, at most
/// `byteLimit` bytes wait, or one tensor if it is larger. With a thread limit of 1 everything runs on the
/// owner's thread.
package struct WriteQueue {
  private static let byteLimit = 64 << 20

  private let writer: any CheckpointWriter
  private var waiting: [(tensor: TensorInfo, bytes: TensorBytes)] = []
  private var waitingByteCount = 0
  /// The work that writes the tensors before those that wait.
  private var work: ConcurrentWork<Void>?

  /// Starts with a writer that has everything before the first tensor.
  package init(_ writer: any CheckpointWriter) { self.writer = writer }

  /// Adds the next tensor.
  ///
  /// - Throws: The writer's error for an earlier tensor.
  package mutating func add(_ tensor: TensorInfo, _ bytes: TensorBytes) throws {
    waiting.append((tensor, bytes))
    waitingByteCount += bytes.count
    if waitingByteCount >= Self.byteLimit { try startWriting() }
  }

  /// Starts to write the tensors that wait, when those before them are written.
  ///
  /// - Throws: The writer's error for an earlier tensor.
  package mutating func startWriting() throws {
    try finishWork()
    guard !waiting.isEmpty else { return }
    // The work is waited for before anything else uses the writer.
    nonisolated(unsafe) let writer = writer
    let tensors = waiting
    (waiting, waitingByteCount) = ([], 0)
    let write = { @Sendable in try unsafe writer.write(tensors) }
    guard ThreadLimit.current > 1 else { return try write() }
    work = ConcurrentWork(write)
  }

  /// Writes everything that was added, and waits for it.
  ///
  /// - Throws: The writer's error.
  package mutating func finish() throws {
    try startWriting()
    try finishWork()
  }

  /// Waits until the writer is not used anymore; its error is of no interest when there is another one.
  package mutating func wait() { try? finishWork() }

  private mutating func finishWork() throws {
    let current = work
    work = nil
    try current?.value()
  }
}
