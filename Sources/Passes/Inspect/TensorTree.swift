import Checkpoints

/// Tensors by layer: numbered modules are groups, and consecutive ones that are alike are one.
package struct TensorTree: Sendable, Equatable {
  /// A line of the tree.
  package enum Entry: Sendable, Equatable {
    /// A tensor, named from the group it is in.
    case tensor(name: String, LogicalTensor)
    /// Numbered modules that are alike, and what is in each.
    case group(Group)
  }

  /// Numbered modules that are alike.
  package struct Group: Sendable, Equatable {
    /// What stands before the number, named from the group it is in: `model.layers`.
    package let prefix: String
    /// The numbers.
    package let indices: ClosedRange<Int>
    /// The bytes of one of them.
    package let byteCount: Int
    /// What is in one of them.
    package let entries: [Entry]

    /// The name with the numbers: `model.layers.0-29`.
    package var name: String {
      let start = prefix.isEmpty ? "" : prefix + "."
      return start
        + (indices.count == 1 ? "\(indices.lowerBound)" : "\(indices.lowerBound)-\(indices.upperBound)")
    }
  }

  /// The lines, sorted by name.
  package let entries: [Entry]

  /// Groups tensors.
  package init(_ tensors: [LogicalTensor]) {
    let root = Node()
    for tensor in tensors {
      let path = NumberedPath(tensor.packing?.module ?? tensor.name)
      var node = root
      for step in path.steps { node = node.child(step.prefix, step.index) }
      node.tensors.append((path.rest, tensor))
    }
    var kinds = Kinds()
    entries = Lines(root, &kinds).entries
  }
}

/// A name split before and after each number that is not its last component.
private struct NumberedPath {
  var steps: [(prefix: String, index: Int)] = []
  var rest: String

  private static let digitLimit = 9
  /// Deeper ones stay in the name; it bounds the recursion over the tree.
  private static let stepLimit = 8

  init(_ name: String) {
    let bytes = name.utf8.span
    var partStart = 0
    var componentStart = 0
    for i in bytes.indices where bytes[i] == UInt8(ascii: ".") && steps.count < Self.stepLimit {
      if let index = Self.number(bytes.extracting(componentStart..<i)) {
        steps.append((Self.part(name, partStart..<max(partStart, componentStart - 1)), index))
        partStart = i + 1
      }
      componentStart = i + 1
    }
    rest = Self.part(name, partStart..<bytes.count)
  }

  private static func part(_ name: String, _ range: Range<Int>) -> String {
    let start = name.utf8.index(name.startIndex, offsetBy: range.lowerBound)
    return String(name[start..<name.utf8.index(start, offsetBy: range.count)])
  }

  /// A number as it is written without leading zeros.
  private static func number(_ digits: Span<UInt8>) -> Int? {
    guard (1...digitLimit).contains(digits.count), digits.count == 1 || digits[0] != UInt8(ascii: "0") else {
      return nil
    }
    var number = 0
    for i in digits.indices {
      guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digits[i]) else { return nil }
      number = number * 10 + Int(digits[i] - UInt8(ascii: "0"))
    }
    return number
  }
}

/// What is in a numbered module.
private final class Node {
  var tensors: [(name: String, tensor: LogicalTensor)] = []
  private(set) var families: [String: [Int: Node]] = [:]
  private var recent: (prefix: String, index: Int, node: Node)?

  func child(_ prefix: String, _ index: Int) -> Node {
    // Neighbours in a file are mostly neighbours in the tree.
    if let recent, recent.index == index, recent.prefix == prefix { return recent.node }
    let node = families[prefix]?[index] ?? Node()
    families[prefix, default: [:]][index] = node
    recent = (prefix, index, node)
    return node
  }
}

/// Numbers for modules, equal for those that are alike.
private struct Kinds {
  private struct Leaf: Hashable {
    let name: String
    let dtype: DType
    let shape: [Int]
    let bits: Int
    let groupSize: Int
    let byteCount: Int
  }

  private var leaves: [Leaf: Int] = [:]
  private var names: [String: Int] = [:]
  private var lists: [[Int]: Int] = [:]

  mutating func number(_ name: String, _ tensor: LogicalTensor) -> Int {
    let parameters = tensor.packing?.parameters
    let leaf = Leaf(
      name: name, dtype: tensor.stored.dtype, shape: tensor.shape, bits: parameters?.bits ?? 0,
      groupSize: parameters?.groupSize ?? 0, byteCount: tensor.byteCount)
    return Self.number(leaf, &leaves)
  }

  mutating func number(_ name: String) -> Int { Self.number(name, &names) }

  mutating func number(_ list: [Int]) -> Int { Self.number(list, &lists) }

  private static func number<Key>(_ key: Key, _ numbers: inout [Key: Int]) -> Int {
    if let number = numbers[key] { return number }
    numbers[key] = numbers.count
    return numbers.count - 1
  }
}

/// The lines of a node, its size, and the number that it shares with those alike.
private struct Lines {
  var entries: [TensorTree.Entry] = []
  var byteCount = 0
  var kind = 0

  init(_ node: Node, _ kinds: inout Kinds) {
    var named: [(name: String, order: Int, entry: TensorTree.Entry)] = []
    var description: [Int] = []
    for (name, tensor) in node.tensors.sorted(by: { precedes($0.name, $1.name) }) {
      named.append((name, 0, .tensor(name: name, tensor)))
      byteCount += tensor.byteCount
      description.append(kinds.number(name, tensor))
    }
    for (prefix, children) in node.families.sorted(by: { precedes($0.key, $1.key) }) {
      // No tensor has a negative number, so the lists of different nodes differ.
      description += [-1, kinds.number(prefix)]
      for run in Self.runs(of: children, &kinds) {
        let group = TensorTree.Group(
          prefix: prefix, indices: run.indices, byteCount: run.lines.byteCount, entries: run.lines.entries)
        named.append((prefix, run.indices.lowerBound, .group(group)))
        byteCount += run.lines.byteCount * run.indices.count
        description += [run.indices.lowerBound, run.indices.count, run.lines.kind]
      }
    }
    named.sort { $0.name == $1.name ? $0.order < $1.order : precedes($0.name, $1.name) }
    entries = named.map(\.entry)
    kind = kinds.number(description)
  }

  /// Consecutive children that are alike.
  private static func runs(
    of children: [Int: Node], _ kinds: inout Kinds
  ) -> [(indices: ClosedRange<Int>, lines: Lines)] {
    var runs: [(indices: ClosedRange<Int>, lines: Lines)] = []
    for (index, node) in children.sorted(by: { $0.key < $1.key }) {
      let lines = Lines(node, &kinds)
      if let last = runs.last, last.lines.kind == lines.kind, last.indices.upperBound + 1 == index {
        runs[runs.count - 1].indices = last.indices.lowerBound...index
      } else {
        runs.append((index...index, lines))
      }
    }
    return runs
  }
}
