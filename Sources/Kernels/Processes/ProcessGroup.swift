/// The processes that work on one run together, each known by its rank.
///
/// Every process runs the same program on the same input. Calls of a group are collective: every rank makes
/// them in the same order. Numbers travel as this processor stores them, so all ranks need processors of one
/// byte order.
public protocol ProcessGroup: Sendable {
  /// The number of this process, from 0.
  var rank: Int { get }
  /// The number of processes.
  var count: Int { get }

  /// Sends a message; the other rank has to receive it.
  ///
  /// - Parameters:
  ///   - message: At most `ProcessMessage.byteLimit` bytes.
  ///   - rank: The rank that receives it.
  /// - Throws: Errors of the communication.
  func send(_ message: [UInt8], to rank: Int) throws
  /// Waits for a message.
  ///
  /// - Parameters:
  ///   - byteCount: The size of the message, at most `ProcessMessage.byteLimit`.
  ///   - rank: The rank that sends it.
  /// - Returns: The message.
  /// - Throws: Errors of the communication.
  func receive(_ byteCount: Int, from rank: Int) throws -> [UInt8]
  /// Gives a message of one rank to all others.
  ///
  /// - Parameters:
  ///   - message: At most `ProcessMessage.byteLimit` bytes, as many on every rank; replaced by those of `rank`.
  ///   - rank: The rank that has the message.
  /// - Throws: Errors of the communication.
  func broadcast(_ message: inout [UInt8], from rank: Int) throws
}

/// The limits of a message between two processes.
public enum ProcessMessage {
  /// The maximum size of a message, in bytes.
  public static let byteLimit = 16 << 20
}

/// The group of a program that was started alone.
public struct SingleProcess: ProcessGroup {
  /// The only rank.
  public var rank: Int { 0 }
  /// One.
  public var count: Int { 1 }

  /// Creates the group.
  public init() {}

  /// Has nobody to send to.
  public func send(_ message: [UInt8], to rank: Int) { preconditionFailure("rank \(rank) of one process") }
  /// Has nobody to receive from.
  public func receive(_ byteCount: Int, from rank: Int) -> [UInt8] {
    preconditionFailure("rank \(rank) of one process")
  }
  /// Leaves the message.
  public func broadcast(_ message: inout [UInt8], from rank: Int) {}
}

extension ProcessGroup {
  /// Whether this process writes files, progress and results.
  public var isFirst: Bool { rank == 0 }

  /// Returns the part of `0..<total` that this process works on.
  ///
  /// The parts of all ranks follow one another in the order of the ranks, and differ in size by one at most.
  ///
  /// - Parameter total: The number of windows or other units.
  /// - Returns: A range that may be empty.
  package func share(of total: Int) -> Range<Int> { total * rank / count..<total * (rank + 1) / count }

  /// Returns lists of numbers of all ranks, in the order of the ranks.
  ///
  /// - Parameter numbers: The numbers of this rank; their number may differ between ranks.
  /// - Returns: One list per rank, equal on every rank.
  /// - Throws: Errors of the communication.
  package func gather(_ numbers: [Double]) throws -> [[Double]] {
    guard count > 1 else { return [numbers] }
    let sizes = try gatherEqual([Double(numbers.count)]).map { Int($0) }
    var all: [Double] = []
    for other in 0..<count {
      var part = other == rank ? numbers : [Double](repeating: 0, count: sizes[other])
      try broadcastAll(&part, from: other)
      all += part
    }
    var rest = all[...]
    return sizes.map { size in
      defer { rest = rest.dropFirst(size) }
      return Array(rest.prefix(size))
    }
  }

  /// Returns the numbers of all ranks in one list; every rank gives as many.
  private func gatherEqual(_ numbers: [Double]) throws -> [Double] {
    var all = numbers
    if isFirst {
      for other in 1..<count {
        all += elements(of: try receive(numbers.count * MemoryLayout<Double>.stride, from: other))
      }
    } else {
      try send(numbers.storedBytes, to: 0)
      all = [Double](repeating: 0, count: numbers.count * count)
    }
    try broadcastAll(&all, from: 0)
    return all
  }

  /// Returns the texts of all ranks, in the order of the ranks.
  ///
  /// - Throws: Errors of the communication.
  package func gather(_ text: String) throws -> [String] {
    try gather(text.utf8.map { Double($0) }).map { numbers in
      String(decoding: numbers.map { UInt8($0) }, as: UTF8.self)
    }
  }

  /// Returns the values of all ranks, in the order of the ranks.
  ///
  /// With the shares of `share(of:)` the values are in the order of what was shared.
  ///
  /// - Parameter values: The values of this rank.
  /// - Returns: All values, equal on every rank.
  /// - Throws: Errors of the communication.
  package func gathered<Value: NumberCoded>(_ values: [Value]) throws -> [Value] {
    guard count > 1 else { return values }
    let numbers = Array(try gather(values.flatMap(\.numbers)).joined())
    precondition(numbers.count % Value.numberCount == 0, "\(numbers.count) numbers")
    return stride(from: 0, to: numbers.count, by: Value.numberCount).map {
      Value(numbers: numbers[$0..<$0 + Value.numberCount])
    }
  }

  /// Gives the numbers of one rank to all others, in pieces.
  ///
  /// - Parameters:
  ///   - values: As many on every rank; replaced by those of `rank`.
  ///   - rank: The rank that has them.
  /// - Throws: Errors of the communication.
  package func broadcastAll<T: BitwiseCopyable>(_ values: inout [T], from rank: Int) throws {
    guard count > 1 else { return }
    for piece in pieces(of: values.count, length: ProcessMessage.byteLimit / MemoryLayout<T>.stride) {
      var message = Array(values[piece]).storedBytes
      try broadcast(&message, from: rank)
      if rank != self.rank { values.replaceSubrange(piece, with: elements(of: message) as [T]) }
    }
  }

  /// Passes a sum through the ranks piece by piece; each adds its part, and every rank gets the result.
  ///
  /// Rank 0 begins each piece, and a rank adds to a piece while the ranks before it are at the next ones.
  /// When ranks have consecutive parts of a list, the sum is added in the order of the list, whatever the
  /// number of ranks is, so that its bits are those of one process.
  ///
  /// - Parameters:
  ///   - pieceCount: The number of pieces, equal on every rank.
  ///   - begin: Returns the elements of a piece before the first addition; called on every rank, because it
  ///     tells the size, too.
  ///   - add: Adds this rank's part to a piece.
  ///   - end: Takes the whole sum of a piece.
  /// - Throws: Errors of the communication.
  package func chain<T: BitwiseCopyable>(
    pieces pieceCount: Int, begin: (Int) -> [T], add: (Int, inout [T]) -> Void, end: (Int, [T]) -> Void
  ) throws {
    let last = count - 1
    var sums: [[T]] = []
    for piece in 0..<pieceCount {
      var sum = begin(piece)
      if rank > 0 { try receiveAll(&sum, from: rank - 1) }
      add(piece, &sum)
      if rank < last { try sendAll(sum, to: rank + 1) } else { sums.append(sum) }
    }
    for piece in 0..<pieceCount {
      var sum = rank == last ? sums[piece] : begin(piece)
      if rank == last { sums[piece] = [] }
      try broadcastAll(&sum, from: last)
      end(piece, sum)
    }
  }

  private func sendAll<T: BitwiseCopyable>(_ values: [T], to rank: Int) throws {
    for piece in pieces(of: values.count, length: ProcessMessage.byteLimit / MemoryLayout<T>.stride) {
      try send(Array(values[piece]).storedBytes, to: rank)
    }
  }

  private func receiveAll<T: BitwiseCopyable>(_ values: inout [T], from rank: Int) throws {
    let width = MemoryLayout<T>.stride
    for piece in pieces(of: values.count, length: ProcessMessage.byteLimit / width) {
      let message = try receive(piece.count * width, from: rank)
      values.replaceSubrange(piece, with: elements(of: message) as [T])
    }
  }

  /// Adds lists of floats to a sum, in the order of the ranks and of each rank's lists; see `chain`.
  ///
  /// - Parameters:
  ///   - lists: Each as long as the sum.
  ///   - sum: On rank 0 what the lists are added to; gets the result.
  /// - Throws: Errors of the communication.
  package func add(_ lists: [[Float]], to sum: inout [Float]) throws {
    let ranges = pieces(of: sum.count, length: 1 << 18)
    let start = sum
    sum = []
    var result: [Float] = []
    result.reserveCapacity(start.count)
    try chain(
      pieces: ranges.count, begin: { Array(start[ranges[$0]]) },
      add: { index, piece in
        var span = piece.mutableSpan
        for list in lists { addScaled(list.span.extracting(ranges[index]), to: &span) }
      }, end: { result += $1 })
    sum = result
  }
}

/// A value that travels between processes as a fixed number of doubles, which hold it exactly.
package protocol NumberCoded {
  /// The number of doubles.
  static var numberCount: Int { get }
  /// The value as doubles.
  var numbers: [Double] { get }
  /// Reads what `numbers` gives.
  init(numbers: ArraySlice<Double>)
}

extension Double: NumberCoded {
  /// One.
  package static var numberCount: Int { 1 }
  /// The number itself.
  package var numbers: [Double] { [self] }
  /// Takes the number.
  package init(numbers: ArraySlice<Double>) { self = numbers[numbers.startIndex] }
}

/// Returns the ranges of a list in pieces of a length; the last one may be shorter.
private func pieces(of count: Int, length: Int) -> [Range<Int>] {
  stride(from: 0, to: count, by: length).map { $0..<min($0 + length, count) }
}

extension Array where Element: BitwiseCopyable {
  /// The elements as this processor stores them.
  fileprivate var storedBytes: [UInt8] { unsafe withUnsafeBytes { unsafe [UInt8]($0) } }
}

/// Returns the elements that `storedBytes` gave.
private func elements<T: BitwiseCopyable>(of bytes: [UInt8]) -> [T] {
  let count = bytes.count / MemoryLayout<T>.stride
  return unsafe [T](unsafeUninitializedCapacity: count) { elements, initializedCount in
    unsafe UnsafeMutableRawBufferPointer(elements).copyBytes(from: bytes)
    initializedCount = count
  }
}
