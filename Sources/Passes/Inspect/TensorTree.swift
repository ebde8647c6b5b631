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
    /// The range of bytes before a number, or of the rest of the name.
    let part: Range<Int>
    /// The number, or `none` for the rest of the name.
    let number: Int

    /// Sorts before every number.
    static let none = -1
  }

  /// A tensor and the pieces of its name; the last piece is the rest of the name.
  private struct Item {
    let name: String
    let position: Int
    let steps: Range<Int>
  }

  private static let digitLimit = 9
  /// The maximum number of pieces with numbers, which bounds the recursion; further numbers stay in the rest.
  private static let numberLimit = 8

  private let tensors: [LogicalTensor]
  private var steps: [Step] = []
  private var items: [Item] = []

  /// The positions of all tensors.
  var all: Range<Int> { items.indices }

  init(_ tensors: [LogicalTensor]) {
    self.tensors = tensors
    items.reserveCapacity(tensors.count)
    steps.reserveCapacity(2 * tensors.count)
    for (position, tensor) in tensors.enumerated() {
      let start = steps.count
      // A packed weight has its module's name.
      let name = tensor.packing?.module ?? tensor.name
      split(name.utf8.span)
      items.append(Item(name: name, position: position, steps: start..<steps.count))
    }
    let isSorted = items.indices.dropFirst().allSatisfy { !isBefore(items[$0], items[$0 - 1]) }
    if !isSorted { items = items.sorted(by: isBefore) }
  }

  /// Splits a name before and after each number that is not its last component.
  private mutating func split(_ name: Span<UInt8>) {
    var partStart = 0
    var componentStart = 0
    var numberCount = 0
    for i in name.indices where name[i] == UInt8(ascii: ".") {
      if numberCount < Self.numberLimit, let number = Self.number(name.extracting(componentStart..<i)) {
        steps.append(Step(part: partStart..<max(partStart, componentStart - 1), number: number))
        numberCount += 1
        partStart = i + 1
      }
      componentStart = i + 1
    }
    steps.append(Step(part: partStart..<name.count, number: Step.none))
  }

  /// Returns a number written without leading zeros, or nil.
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
    return zip(first, second).allSatisfy { a, b in
      let stepCount = items[a].steps.count
      return items[b].steps.count == stepCount
        && (depth..<stepCount).allSatisfy { isSameStep(a, b, $0) } && tensor(a).isAlike(tensor(b))
    }
  }

  private func isSameStep(_ a: Int, _ b: Int, _ depth: Int) -> Bool {
    step(a, depth).number == step(b, depth).number && isSamePart(a, b, depth)
  }

  private func isSamePart(_ a: Int, _ b: Int, _ depth: Int) -> Bool {
    let (first, second) = (step(a, depth).part, step(b, depth).part)
    guard first.count == second.count else { return false }
    return order(
      items[a].name.utf8.span.extracting(first), items[b].name.utf8.span.extracting(second)) == 0
  }

  private func isBefore(_ a: Item, _ b: Item) -> Bool {
    let (first, second) = (a.name.utf8.span, b.name.utf8.span)
    for (i, j) in zip(a.steps, b.steps) {
      let order = order(first.extracting(steps[i].part), second.extracting(steps[j].part))
      if order != 0 { return order < 0 }
      if steps[i].number != steps[j].number { return steps[i].number < steps[j].number }
    }
    return a.position < b.position
  }

  /// Compares two names bytewise: below, at or above 0 if the first comes before, equals or comes after the
  /// second.
  private func order(_ first: Span<UInt8>, _ second: Span<UInt8>) -> Int {
    unsafe first.bytes.order(to: second.bytes)
  }

  private func tensor(_ i: Int) -> LogicalTensor { tensors[items[i].position] }

  /// Returns a piece of a name; every name has one more piece than numbers, so the index is valid.
  private func step(_ i: Int, _ depth: Int) -> Step { steps[items[i].steps.lowerBound + depth] }

  private func text(_ i: Int, _ depth: Int) -> String {
    let name = items[i].name
    let part = step(i, depth).part
    let start = name.utf8.index(name.startIndex, offsetBy: part.lowerBound)
    return String(name[start..<name.utf8.index(start, offsetBy: part.count)])
  }
}

extension LogicalTensor {
  /// Whether the tensors are equal except for their names.
  fileprivate func isAlike(_ other: LogicalTensor) -> Bool {
    stored.dtype == other.stored.dtype && byteCount == other.byteCount && shape == other.shape
      && packing?.layout == other.packing?.layout && storedType == other.storedType
  }
}
