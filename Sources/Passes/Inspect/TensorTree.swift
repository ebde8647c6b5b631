import Checkpoints

/// Tensors by layer: numbered modules form groups, and consecutive equal modules form one group.
package struct TensorTree: Sendable, Equatable {
  /// A line of the tree.
  package enum Entry: Sendable, Equatable {
    /// A tensor; its name is relative to its group.
    case tensor(name: String, LogicalTensor)
    /// Numbered modules with the same contents.
    case group(Group)
  }

  /// Numbered modules with the same contents.
  package struct Group: Sendable, Equatable {
    /// The name before the number, relative to the enclosing group: `model.layers`.
    package let prefix: String
    /// The numbers of the modules.
    package let indices: ClosedRange<Int>
    /// The size of one module in bytes.
    package let byteCount: Int
    /// The contents of one module.
    package let entries: [Entry]

    /// The name with the numbers: `model.layers.0-29`.
    package var name: String {
      let start = prefix.isEmpty ? "" : prefix + "."
      return start
        + (indices.count == 1 ? "\(indices.lowerBound)" : "\(indices.lowerBound)-\(indices.upperBound)")
    }
  }

  /// The entries, sorted by name.
  package let entries: [Entry]

  /// Groups tensors.
  package init(_ tensors: [LogicalTensor]) {
    let order = TensorOrder(tensors)
    entries = order.entries(of: order.all, depth: 0)
  }
}

/// Tensors in the order of the tree; the tensors of a numbered module are adjacent.
private struct TensorOrder {
  /// A piece of a name.
  private struct Step {
    /// Where the bytes before a number, or of the rest of the name, are in `names`.
    let part: Range<Int>
    /// The number, or `none` for the rest of the name.
    let number: Int

    /// Sorts before every number.
    static let none = -1
  }

  /// A tensor and the pieces of its name; the last piece is the rest of the name.
  private struct Item {
    let position: Int
    let steps: Range<Int>
  }

  private static let digitLimit = 9
  /// The maximum number of pieces with numbers, which bounds the recursion; further numbers stay in the rest.
  private static let numberLimit = 8

  private let tensors: [LogicalTensor]
  /// All names, one after the other.
  private var names: [UInt8] = []
  private var steps: [Step] = []
  private var items: [Item] = []

  /// The positions of all tensors.
  var all: Range<Int> { items.indices }

  init(_ tensors: [LogicalTensor]) {
    self.tensors = tensors
    items.reserveCapacity(tensors.count)
    // What is reserved and not used costs nothing; growing copies. Few names have more than two numbers.
    steps.reserveCapacity(3 * tensors.count)
    // Elements of a span are not copied.
    let all = tensors.span
    names.reserveCapacity(all.indices.reduce(0) { $0 + all[$1].name.utf8.count })
    for position in all.indices {
      let start = steps.count
      let nameStart = names.count
      // A packed weight has its module's name.
      names.append(contentsOf: (all[position].packing?.module ?? all[position].name).utf8)
      split(nameStart..<names.count)
      items.append(Item(position: position, steps: start..<steps.count))
    }
    let isSorted = items.indices.dropFirst().allSatisfy { !isBefore(items[$0], items[$0 - 1]) }
    if !isSorted { items = items.sorted(by: isBefore) }
  }

  /// Splits a name before and after each number that is not its last component.
  private mutating func split(_ name: Range<Int>) {
    var partStart = name.lowerBound
    var componentStart = name.lowerBound
    var numberCount = 0
    for i in name where names[i] == UInt8(ascii: ".") {
      if numberCount < Self.numberLimit, let number = number(componentStart..<i) {
        steps.append(Step(part: partStart..<max(partStart, componentStart - 1), number: number))
        numberCount += 1
        partStart = i + 1
      }
      componentStart = i + 1
    }
    steps.append(Step(part: partStart..<name.upperBound, number: Step.none))
  }

  /// Returns a number that is written without leading zeros in `names`, or nil.
  private func number(_ digits: Range<Int>) -> Int? {
    guard (1...Self.digitLimit).contains(digits.count),
      digits.count == 1 || names[digits.lowerBound] != UInt8(ascii: "0")
    else { return nil }
    var number = 0
    for i in digits {
      guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(names[i]) else { return nil }
      number = number * 10 + Int(names[i] - UInt8(ascii: "0"))
    }
    return number
  }
}

extension TensorOrder {
  /// Returns the entries for tensors whose first pieces are equal.
  ///
  /// - Parameters:
  ///   - range: Positions in this order.
  ///   - depth: The number of pieces they have in common.
  /// - Returns: The entries, sorted by name.
  func entries(of range: Range<Int>, depth: Int) -> [TensorTree.Entry] {
    var entries: [TensorTree.Entry] = []
    var start = range.lowerBound
    while start < range.upperBound {
      let number = step(start, depth).number
      if number == Step.none {
        entries.append(.tensor(name: text(start, depth), tensor(start)))
        start += 1
      } else {
        let module = module(from: start, in: range, depth)
        let run = run(of: module, in: range, depth)
        entries.append(
          .group(
            TensorTree.Group(
              prefix: text(start, depth), indices: number...step(run.upperBound - 1, depth).number,
              byteCount: module.reduce(0) { $0 + tensor($1).byteCount },
              entries: self.entries(of: module, depth: depth + 1))))
        start = run.upperBound
      }
    }
    return entries
  }

  /// Returns the tensors of the numbered module that begins at a position.
  private func module(from start: Int, in range: Range<Int>, _ depth: Int) -> Range<Int> {
    var end = start + 1
    while end < range.upperBound, isSameStep(start, end, depth) { end += 1 }
    return start..<end
  }

  /// Returns the tensors of a module and of the following modules with equal contents and consecutive
  /// numbers.
  private func run(of first: Range<Int>, in range: Range<Int>, _ depth: Int) -> Range<Int> {
    var number = step(first.lowerBound, depth).number
    var end = first.upperBound
    while end < range.upperBound, step(end, depth).number == number + 1,
      isSamePart(first.lowerBound, end, depth)
    {
      let next = module(from: end, in: range, depth)
      guard areAlike(first, next, depth + 1) else { break }
      number += 1
      end = next.upperBound
    }
    return first.lowerBound..<end
  }

  /// Whether two modules have tensors of the same names and kinds.
  private func areAlike(_ first: Range<Int>, _ second: Range<Int>, _ depth: Int) -> Bool {
    guard first.count == second.count else { return false }
    // Elements of a span are not copied.
    let tensors = tensors.span
    for (a, b) in zip(first, second) {
      let stepCount = items[a].steps.count
      guard items[b].steps.count == stepCount,
        (depth..<stepCount).allSatisfy({ isSameStep(a, b, $0) }),
        tensors[items[a].position].isAlike(tensors[items[b].position])
      else { return false }
    }
    return true
  }

  private func isSameStep(_ a: Int, _ b: Int, _ depth: Int) -> Bool {
    step(a, depth).number == step(b, depth).number && isSamePart(a, b, depth)
  }

  private func isSamePart(_ a: Int, _ b: Int, _ depth: Int) -> Bool {
    let (first, second) = (step(a, depth).part, step(b, depth).part)
    return first.count == second.count && order(first, second) == 0
  }

  private func isBefore(_ a: Item, _ b: Item) -> Bool {
    for (i, j) in zip(a.steps, b.steps) {
      let order = order(steps[i].part, steps[j].part)
      if order != 0 { return order < 0 }
      if steps[i].number != steps[j].number { return steps[i].number < steps[j].number }
    }
    return a.position < b.position
  }

  /// Compares two parts of `names` bytewise: below, at or above 0 if the first comes before, equals or comes
  /// after the second.
  private func order(_ first: Range<Int>, _ second: Range<Int>) -> Int {
    let bytes = unsafe names.span.bytes
    return bytes.extracting(first).order(to: bytes.extracting(second))
  }

  private func tensor(_ i: Int) -> LogicalTensor { tensors[items[i].position] }

  /// Returns a piece of a name; every name has one more piece than numbers, so the index is valid.
  private func step(_ i: Int, _ depth: Int) -> Step { steps[items[i].steps.lowerBound + depth] }

  private func text(_ i: Int, _ depth: Int) -> String {
    String(decoding: names[step(i, depth).part], as: UTF8.self)
  }
}

extension LogicalTensor {
  /// Whether the tensors are equal except for their names.
  fileprivate func isAlike(_ other: LogicalTensor) -> Bool {
    stored.dtype == other.stored.dtype && byteCount == other.byteCount && shape == other.shape
      && packing?.layout == other.packing?.layout && storedType == other.storedType
  }
}
