/// The texts of a pass, each with its share of the windows.
///
/// It is a collection of paths. An array literal of paths makes a list whose shares are equal.
public struct TextList<Path: Sendable & Equatable>: Sendable, Equatable {
  /// The largest share.
  static var shareLimit: Int { 1_000_000 }

  private let paths: [Path]
  /// The share of each text, relative to the others', at least 1.
  public let shares: [Int]

  /// Joins texts.
  ///
  /// - Parameter texts: Paths with their shares, each from 1 to 1,000,000.
  public init(_ texts: [(path: Path, share: Int)]) {
    for (_, share) in texts { precondition((1...Self.shareLimit).contains(share), "a share of \(share)") }
    paths = texts.map(\.path)
    shares = texts.map(\.share)
  }

  /// Returns the list with other paths and the same shares.
  func mapPaths<Other>(_ transform: (Path) throws -> Other) rethrows -> TextList<Other> {
    TextList<Other>(try zip(paths, shares).map { (try transform($0), $1) })
  }

  /// Whether every text has the same share.
  var isEven: Bool { shares.allSatisfy { $0 == shares[0] } }

  /// Shares windows among the texts.
  ///
  /// - Parameters:
  ///   - index: The text.
  ///   - count: The number of windows of all texts.
  /// - Returns: Its share of them, rounded down; the first text also gets the remainder.
  func windowCount(at index: Int, of count: Int) -> Int {
    let total = shares.reduce(0, +)
    func roundedDown(_ share: Int) -> Int { count * share / total }
    guard index == 0 else { return roundedDown(shares[index]) }
    return shares.dropFirst().reduce(count) { $0 - roundedDown($1) }
  }
}

extension TextList: RandomAccessCollection {
  /// The first position.
  public var startIndex: Int { 0 }
  /// The position after the last text.
  public var endIndex: Int { paths.count }
  /// The path of a text.
  public subscript(index: Int) -> Path { paths[index] }
}

extension TextList: ExpressibleByArrayLiteral {
  /// Joins texts whose shares are equal.
  public init(arrayLiteral paths: Path...) { self.init(paths.map { ($0, 1) }) }
}
