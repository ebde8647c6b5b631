package import Checkpoints
package import Kernels

/// A place in a layer where windows can pause.
package enum LayerHalt: Sendable, Equatable {
  /// Before a group of linears; the window holds the group's input.
  case before(LinearGroupKind)
  /// After a part of the layer, which has updated the residual stream.
  case afterPart(Int)
}

/// One window on its way through a layer, paused before a group of linears.
package struct HaltedWindow: Sendable {
  /// The window after the last part that has been computed.
  package internal(set) var stream: WindowStream
  /// The stream that the part before it read, `[tokens, hidden]`, while the window is in a part that reads
  /// the same; otherwise nil.
  fileprivate var shared: Matrix?
  /// The index of the layer's part that the window is in.
  fileprivate var part = 0
  /// The index of the part's operation that takes `value` as input.
  fileprivate var operation = 0
  /// The output of attention, `[tokens, heads · headSize]`, or of a recurrence, while the window is paused
  /// after it, or the input of experts, `[tokens, hidden]`, or of other linears if it is kept; nil when the
  /// input is the residual stream.
  ///
  /// The inputs of other groups follow from these, so they need not be kept.
  fileprivate var value: Matrix?
  /// The tokens of each expert, while the window is paused before experts.
  fileprivate var routes: ExpertRoutes?

  /// The residual stream, `[tokens, hidden]`.
  package var hidden: Matrix { stream.hidden }

  /// Starts before a layer.
  package init(_ stream: WindowStream) { self.stream = stream }
}

extension Transformer.DecoderLayer {
  /// The place after the layer's last part.
  package var end: LayerHalt { .afterPart(description.parts.count - 1) }
}

extension Transformer {
  /// Moves a window to a later place in a layer.
  ///
  /// At the layer's end the result equals that of `forward`. While a window is paused, the linears after it
  /// can still be changed.
  ///
  /// - Parameters:
  ///   - window: Paused at an earlier place, or before the layer.
  ///   - layer: The layer.
  ///   - halt: The place to move to.
  ///   - rotary: At least as many positions as there are tokens.
  ///   - keepsInput: Whether an input that takes products to compute is kept until the window moves on, which
  ///     takes its memory and computes it once.
  package func advance(
    _ window: inout HaltedWindow, through layer: DecoderLayer, to halt: LayerHalt, rotary: RotaryTables,
    keepsInput: Bool = false
  ) {
    let parts = layer.description.parts
    var environment = WindowEnvironment(rotary: rotary, context: window.stream.context)
    defer { window.stream.context = environment.context }
    let target =
      switch halt {
      case .before(let group): layer.description.place(of: group)
      case .afterPart(let part): (part: part + 1, operation: 0)
      }
    precondition(window.part <= target.part, "the window is in part \(window.part), after \(halt)")
    while window.part < target.part {
      let stream = window.shared ?? window.hidden
      var x = window.value ?? stream
      (window.value, window.routes) = (nil, nil)
      window.shared = parts.isFollowedByParallel(window.part) ? stream : nil
      for operation in parts[window.part].operations[window.operation...] {
        apply(operation, to: &x, of: layer, in: &environment)
      }
      environment.held = parts[window.part].isHeld ? x : nil
      if !parts[window.part].isHeld { add(x, to: &window.stream.hidden) }
      (window.part, window.operation) = (window.part + 1, 0)
      if window.part == parts.count { finish(layer, &window.stream.hidden) }
    }
    guard window.part < parts.count else {
      window.part = 0
      return
    }
    let operations = parts[window.part].operations
    if case .experts(let experts) = operations[target.operation] {
      return pause(&window, before: experts, at: target.operation, of: layer, in: &environment)
    }
    let left = operations[window.operation..<target.operation]
    let mixing = left.lastIndex(where: \.mixesTokens)
    let last = keepsInput && left.contains(where: \.multipliesWeights) ? left.indices.last : mixing
    guard let last else { return }
    var x = window.value ?? window.shared ?? window.hidden
    window.value = nil
    for operation in left[...last] { apply(operation, to: &x, of: layer, in: &environment) }
    (window.operation, window.value) = (last + 1, x)
  }

  /// Pauses a window before experts.
  private func pause(
    _ window: inout HaltedWindow, before experts: ExpertsDescription, at operation: Int,
    of layer: DecoderLayer, in environment: inout WindowEnvironment
  ) {
    guard window.routes == nil else { return }
    var x = window.value ?? window.shared ?? window.hidden
    for operation in layer.description.parts[window.part].operations[window.operation..<operation] {
      apply(operation, to: &x, of: layer, in: &environment)
    }
    window.routes = routes(of: experts, x, layer, in: &environment)
    (window.operation, window.value) = (operation, x)
  }

  /// Finds the tokens whose inputs reach a group of linears.
  ///
  /// - Parameters:
  ///   - window: Paused before the group.
  ///   - group: The group.
  /// - Returns: Their positions, ascending; nil for a group that every token reaches.
  package func tokens(of window: HaltedWindow, before group: LinearGroupKind) -> [Int]? {
    group.expert.flatMap { window.routes?.experts[$0].tokens }
  }

  /// Returns the input of a group of linears for a window that is paused before the group.
  ///
  /// - Parameters:
  ///   - window: Paused before the group.
  ///   - layer: The layer it is in.
  ///   - group: The group.
  ///   - tokens: The tokens of an expert; nil for those that its router sends there. Other groups ignore it.
  /// - Returns: `[tokens, in]`; an expert may have no token.
  package func input(
    of window: HaltedWindow, _ layer: DecoderLayer, before group: LinearGroupKind, tokens: [Int]? = nil
  ) -> Matrix {
    let target = layer.description.place(of: group)
    precondition(window.part == target.part, "the window is in part \(window.part), not before \(group)")
    var x = window.value ?? window.shared ?? window.hidden
    if let tokens = tokens ?? self.tokens(of: window, before: group),
      case .experts(let experts) = layer.description.parts[window.part].operations[target.operation]
    {
      return input(of: group, experts, x, tokens, layer)
    }
    var environment = RecomputingEnvironment(context: window.stream.context)
    for operation in layer.description.parts[window.part].operations[window.operation..<target.operation] {
      apply(operation, to: &x, of: layer, in: &environment)
    }
    return x
  }
}

extension LayerOperation {
  /// Whether the operation is a product with weights.
  fileprivate var multipliesWeights: Bool {
    if case .linears = self { true } else { false }
  }

  /// Whether a token's result depends on other tokens.
  fileprivate var mixesTokens: Bool {
    switch self {
    case .attention, .recurrence: true
    case .norm, .headNorms, .linears, .separateHeads, .columns, .rotary, .gate, .activation, .scale,
      .layerInput, .experts, .addHeld:
      false
    }
  }
}

/// The environment for inputs that are computed again; what mixes tokens is never recomputed, because its
/// result is kept.
private struct RecomputingEnvironment: LayerEnvironment {
  let context: WindowContext
  var held: Matrix?

  init(context: WindowContext) {
    self.context = context
    held = context.held
  }

  func product(_ group: LinearGroup, _ x: Matrix) -> Matrix { group(x) }

  func turn(_ queriesKeysValues: inout Matrix, _ rotary: RotaryDescription) {
    preconditionFailure("what is turned is kept after attention")
  }

  func attend(_ queriesKeysValues: Matrix, _ attention: Attention) -> Matrix {
    preconditionFailure("what attention gives is kept")
  }

  func recur(_ x: Matrix, _ recurrence: some Recurrence) -> Matrix {
    preconditionFailure("what a recurrence gives is kept")
  }

  func multiply(_ x: Matrix, byLayerInput columns: Range<Int>, of model: Transformer) -> Matrix {
    x.multiplied(by: model.layerInput(columns, of: context.tokens))
  }
}
