import Checkpoints
import Kernels

/// The file of the windows that models have generated in a run.
///
/// It is private to one run: for each window a line of JSON that says which one it is and how many tokens it
/// has, then the tokens, `I32`.
struct SampledWindowFile {
  static let name = "sampled.tokens"
  private static let newline = UInt8(ascii: "\n")
  private let path: String

  init(path: String) { self.path = path }

  /// Reads the windows up to the first one that is damaged; none if there is no file.
  func windows() throws -> [SampledWindow: [Int32]] {
    guard try FileSystem.kind(of: path) != nil else { return [:] }
    var rest = try InputFile.contents(of: path)[...]
    var windows: [SampledWindow: [Int32]] = [:]
    while let end = rest.firstIndex(of: Self.newline),
      let line = try? JSONValue(parsing: Array(rest[..<end])), let window = SampledWindow(line),
      let count = line["tokens"]?.integer
    {
      let bytes = rest[(end + 1)...]
      guard count > 0, count <= bytes.count / 4 else { break }
      windows[window] = Array(bytes.prefix(4 * count)).int32s
      rest = bytes.dropFirst(4 * count)
    }
    return windows
  }

  /// Replaces the file.
  func write(_ windows: [SampledWindow: [Int32]]) throws {
    let unfinishedPath = path + ".unfinished"
    var file = try OutputFile(creating: unfinishedPath)
    for (window, tokens) in windows.sorted(by: { $0.key < $1.key }) {
      let line = JSONValue.object(window.members + [.init("tokens", .integer(tokens.count))])
      try file.append(Array((line.compactText + "\n").utf8))
      try file.append(tokens.littleEndianBytes)
    }
    try file.sync()
    try FileSystem.rename(unfinishedPath, to: path)
  }
}

/// Everything that the tokens of a generated window depend on.
struct SampledWindow: Hashable, Comparable {
  /// The path of the model; the conditions of a run ensure that its files are the same.
  let model: String
  /// The type that operands of products are rounded to on this processor.
  let products: ProductOperands
  /// The seed of the windows.
  let seed: UInt64
  /// The number of the window among those of its seed.
  let index: Int

  static func < (a: SampledWindow, b: SampledWindow) -> Bool {
    (a.model, a.products.rawValue, a.seed, a.index) < (b.model, b.products.rawValue, b.seed, b.index)
  }
}

extension SampledWindow {
  fileprivate var members: [JSONValue.Member] {
    [
      .init("model", .string(model)), .init("products", .string(products.rawValue)),
      .init("seed", .seed(seed)), .init("window", .integer(index)),
    ]
  }

  /// Reads the line of a window; nil when a member is missing.
  fileprivate init?(_ line: JSONValue) {
    guard let model = line["model"]?.string, let products = line["products"]?.string,
      let products = ProductOperands(rawValue: products), case .number(let text)? = line["seed"],
      let seed = UInt64(text), let index = line["window"]?.integer
    else { return nil }
    self.init(model: model, products: products, seed: seed, index: index)
  }
}
