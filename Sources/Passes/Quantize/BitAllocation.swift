/// Distributes bits over modules to minimize the sum of their losses within a budget.
///
/// All modules begin with the lowest width. Then the module whose loss falls most per bit gets more bits,
/// while the budget allows it. If the losses are convex, this is the optimum up to the last module that the
/// budget can hold.
package struct BitAllocation: Sendable {
  /// The widths of codes to choose from.
  package static let widths = [2, 3, 4]

  /// A module to distribute bits to.
  package struct Module: Sendable {
    /// The name.
    package let name: String
    /// The number of weights.
    package let weightCount: Int
    /// The loss for each of `widths`.
    package let losses: [Double]

    package init(name: String, weightCount: Int, losses: [Double]) {
      precondition(losses.count == BitAllocation.widths.count, "\(losses.count) losses")
      self.name = name
      self.weightCount = weightCount
      self.losses = losses
    }
  }

  /// A step from a module's current width to a larger one.
  private struct Step {
    let module: Int
    let width: Int
    let cost: Int
    let gainPerBit: Double
  }

  /// The chosen width of every module.
  package let bits: [String: Int]

  /// Distributes the bits.
  ///
  /// - Parameters:
  ///   - modules: The modules that get bits.
  ///   - budget: The number of bits of all codes together; at least the lowest width for every weight.
  package init(_ modules: [Module], budget: Int) {
    var widths = [Int](repeating: 0, count: modules.count)
    var left = budget - modules.reduce(0) { $0 + $1.weightCount * Self.widths[0] }
    precondition(left >= 0, "\(-left) bits too few")
    var best = modules.indices.map { Self.bestStep($0, of: modules, from: 0, within: left) }
    while let step = best.compactMap(\.self).max(by: Self.isLess) {
      if step.cost <= left {
        widths[step.module] = step.width
        left -= step.cost
      }
      best[step.module] = Self.bestStep(step.module, of: modules, from: widths[step.module], within: left)
    }
    bits = Dictionary(
      zip(modules, widths).map { ($0.name, Self.widths[$1]) }, uniquingKeysWith: { first, _ in first })
  }

  /// Orders by gain; among equal gains the module that comes first wins.
  private static func isLess(_ a: Step, _ b: Step) -> Bool {
    (a.gainPerBit, b.module) < (b.gainPerBit, a.module)
  }

  private static func bestStep(
    _ module: Int, of modules: [Module], from present: Int, within left: Int
  ) -> Step? {
    let losses = modules[module].losses
    let steps = (present + 1..<max(widths.count, present + 1)).map { width in
      let cost = (widths[width] - widths[present]) * modules[module].weightCount
      return Step(
        module: module, width: width, cost: cost, gainPerBit: (losses[present] - losses[width]) / Double(cost)
      )
    }
    return steps.filter { $0.cost <= left && $0.gainPerBit > 0 }.max(by: isLess)
  }
}
