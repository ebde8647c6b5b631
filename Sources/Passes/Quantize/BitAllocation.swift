package import Checkpoints

/// Chooses a layout for every module to minimize the sum of their losses within a budget of bits.
///
/// All modules begin with their smallest layout. Then the module whose loss falls most per bit gets a larger
/// one, while the budget allows it. If the losses are convex in the bits, this is the optimum up to the last
/// module that the budget can hold.
package struct BitAllocation: Sendable {
  /// A layout that a module can have.
  package struct Choice: Sendable {
    /// The layout.
    package let layout: QuantizedLayout
    /// The bits of the module's codes and tables.
    package let cost: Int
    /// The loss.
    package let loss: Double

    package init(_ layout: QuantizedLayout, cost: Int, loss: Double) {
      self.layout = layout
      self.cost = cost
      self.loss = loss
    }
  }

  /// A module to choose a layout for.
  package struct Module: Sendable {
    /// The name.
    package let name: String
    /// What there is to choose from, by increasing cost; at least one.
    package let choices: [Choice]

    package init(name: String, choices: [Choice]) {
      precondition(
        !choices.isEmpty && zip(choices, choices.dropFirst()).allSatisfy { $0.cost < $1.cost },
        "\(choices.map(\.cost)) are no increasing costs")
      self.name = name
      self.choices = choices
    }
  }

  /// A step from a module's present choice to a larger one.
  private struct Step {
    let module: Int
    let choice: Int
    let cost: Int
    let gainPerBit: Double
  }

  /// The layout of every module.
  package let layouts: [String: QuantizedLayout]

  /// Distributes the bits.
  ///
  /// - Parameters:
  ///   - modules: The modules that get layouts.
  ///   - budget: The bits of all of them together; at least those of the smallest layouts.
  package init(_ modules: [Module], budget: Int) {
    var chosen = [Int](repeating: 0, count: modules.count)
    var left = budget - modules.reduce(0) { $0 + $1.choices[0].cost }
    precondition(left >= 0, "\(-left) bits too few")
    var best = modules.indices.map { Self.bestStep($0, of: modules, from: 0, within: left) }
    while let step = best.compactMap(\.self).max(by: Self.isLess) {
      if step.cost <= left {
        chosen[step.module] = step.choice
        left -= step.cost
      }
      best[step.module] = Self.bestStep(step.module, of: modules, from: chosen[step.module], within: left)
    }
    layouts = Dictionary(
      zip(modules, chosen).map { ($0.name, $0.choices[$1].layout) }, uniquingKeysWith: { first, _ in first })
  }

  /// Orders by gain; among equal gains the module that comes first wins.
  private static func isLess(_ a: Step, _ b: Step) -> Bool {
    (a.gainPerBit, b.module) < (b.gainPerBit, a.module)
  }

  private static func bestStep(
    _ module: Int, of modules: [Module], from present: Int, within left: Int
  ) -> Step? {
    let choices = modules[module].choices
    let steps = choices.indices.dropFirst(present + 1).map { index in
      let cost = choices[index].cost - choices[present].cost
      return Step(
        module: module, choice: index, cost: cost,
        gainPerBit: (choices[present].loss - choices[index].loss) / Double(cost))
    }
    return steps.filter { $0.cost <= left && $0.gainPerBit > 0 }.max(by: isLess)
  }
}
