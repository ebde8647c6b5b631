import Foundation
package import Kernels
import Synchronization

/// The ranks of a group as threads of this process.
package struct ThreadGroup: ProcessGroup {
  package let rank: Int
  package let count: Int
  private let post: Post
  /// The number of messages after which this rank fails; nil for a rank that does not.
  private let messageLimit: Int?

  /// A rank fails when another one has ended, or at a chosen message.
  package enum Failure: Error, Equatable {
    /// Another rank has ended with an error.
    case otherRank
    /// The chosen message.
    case chosen
    /// A message has another size than the receiver expects.
    case size(Int, expected: Int)
  }

  /// Runs `body` once for each rank, at the same time.
  ///
  /// - Parameters:
  ///   - count: The number of ranks.
  ///   - threads: The number of threads of each rank.
  ///   - failing: A rank, and the number of messages after which it fails; nil for none.
  ///   - body: The work of a rank.
  /// - Returns: The results of the ranks, in their order.
  /// - Throws: The error of the lowest rank that failed by itself.
  package static func run<T: Sendable>(
    _ count: Int, threads: Int = 1, failing: (rank: Int, messages: Int)? = nil,
    _ body: @escaping @Sendable (any ProcessGroup) throws -> T
  ) throws -> [T] {
    let post = Post()
    let results = Results<T>()
    let ranks = DispatchGroup()
    for rank in 0..<count {
      let limit = failing.flatMap { $0.rank == rank ? $0.messages : nil }
      let group = ThreadGroup(rank: rank, count: count, post: post, messageLimit: limit)
      ranks.enter()
      Thread.detachNewThread {
        let result = Result { try ThreadLimit.with(threads) { try body(group) } }
        results.all.withLock { $0[rank] = result }
        if case .failure = result { post.close() }
        ranks.leave()
      }
    }
    ranks.wait()
    let sorted = results.all.withLock { all in (0..<count).compactMap { all[$0] } }
    let errors = sorted.compactMap { result -> (any Error)? in
      if case .failure(let error) = result { error } else { nil }
    }
    if let own = errors.first(where: { $0 as? Failure != .otherRank }) ?? errors.first { throw own }
    return try sorted.map { try $0.get() }
  }

  package func send(_ message: [UInt8], to rank: Int) throws {
    try countMessage()
    post.send(message, on: Post.Route(from: self.rank, to: rank))
  }

  package func receive(_ byteCount: Int, from rank: Int) throws -> [UInt8] {
    try countMessage()
    let message = try post.receive(on: Post.Route(from: rank, to: self.rank))
    guard message.count == byteCount else { throw Failure.size(message.count, expected: byteCount) }
    return message
  }

  package func broadcast(_ message: inout [UInt8], from rank: Int) throws {
    guard rank == self.rank else {
      message = try receive(message.count, from: rank)
      return
    }
    for other in 0..<count where other != rank { try send(message, to: other) }
  }

  private func countMessage() throws {
    let number = post.countMessage(of: rank)
    if let messageLimit, number > messageLimit { throw Failure.chosen }
  }
}

/// What the ranks returned.
private final class Results<T: Sendable>: Sendable {
  let all = Mutex<[Int: Result<T, any Error>]>([:])
}

/// The messages on their way.
private final class Post: Sendable {
  struct Route: Hashable {
    let from: Int
    let to: Int
  }

  private struct State {
    var messages: [Route: [[UInt8]]] = [:]
    var counts: [Int: Int] = [:]
    var isClosed = false
  }

  private let condition = NSCondition()
  private let state = Mutex(State())

  func send(_ message: [UInt8], on route: Route) {
    change { $0.messages[route, default: []].append(message) }
  }

  func close() { change { $0.isClosed = true } }

  func countMessage(of rank: Int) -> Int {
    state.withLock {
      $0.counts[rank, default: 0] += 1
      return $0.counts[rank, default: 0]
    }
  }

  private func change(_ body: (inout State) -> Void) {
    condition.lock()
    state.withLock { body(&$0) }
    condition.broadcast()
    condition.unlock()
  }

  func receive(on route: Route) throws -> [UInt8] {
    condition.lock()
    defer { condition.unlock() }
    while true {
      let (message, isClosed) = state.withLock { state -> ([UInt8]?, Bool) in
        guard state.messages[route]?.isEmpty == false else { return (nil, state.isClosed) }
        return (state.messages[route]?.removeFirst(), state.isClosed)
      }
      if let message { return message }
      if isClosed { throw ThreadGroup.Failure.otherRank }
      condition.wait()
    }
  }
}
