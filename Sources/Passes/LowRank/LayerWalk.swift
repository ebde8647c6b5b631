import Checkpoints
import Kernels
import Models

/// Windows of a text on their way through a model, all paused at the same place.
///
/// Several processes can share the windows; each moves its part, and moments are those of all of them.
struct LayerWalk {
  /// The bytes that the inputs of the next linears may take, for as many windows as that is enough for.
  private static let keptBytes = 384 << 20
  /// The model; its later parts can be changed before the windows reach them.
  var model: Transformer
  /// The paused windows of this process.
  private(set) var windows: [HaltedWindow]
  /// The processes that share the windows.
  let group: any ProcessGroup
  /// The indices of this process's windows among all.
  let share: Range<Int>
  private let rotary: RotaryTables
  private let atOnce: Int
  /// The linears that the windows are paused before; nil if they are not paused before linears.
  private var place: Place?

  private enum Place {
    case group(LinearGroupKind, layer: Int)
    case head
  }

  /// Starts with the embeddings.
  ///
  /// - Parameters:
  ///   - model: The model.
  ///   - tokens: Windows of the same length; all, also when processes share them.
  ///   - group: The processes that share the windows.
  /// - Throws: `ModelError.tokenOutOfRange`.
  init(
    _ model: Transformer, _ tokens: [[Int32]], over group: any ProcessGroup = SingleProcess()
  ) throws {
    self.model = model
    self.group = group
    share = group.share(of: tokens.count)
    let length = tokens.first?.count ?? 0
    rotary = model.rotaryTables(positions: length)
    atOnce = model.windowsAtOnce(length: length)
    windows = try tokens[share].map { HaltedWindow(try model.stream(of: $0)) }
  }

  /// Moves every window to a later place in a layer.
  mutating func advance(layer index: Int, to halt: LayerHalt) {
    if case .before(let group) = halt { place = .group(group, layer: index) } else { place = nil }
    let keptCount = keptWindowCount
    for start in stride(from: 0, to: windows.count, by: atOnce) {
      let (model, windows, rotary) = (model, windows, rotary)
      let moved = parallelMap(min(atOnce, windows.count - start)) { i in
        var window = windows[start + i]
        model.advance(
          &window, through: model.layers[index], to: halt, rotary: rotary, keepsInput: start + i < keptCount)
        return window
      }
      for (i, window) in moved.enumerated() { self.windows[start + i] = window }
    }
  }

  /// Moves every window to the end of a layer.
  mutating func finish(layer index: Int) { advance(layer: index, to: model.layers[index].end) }

  /// Pauses before the output head, after the last layer.
  mutating func haltBeforeHead() { place = .head }

  /// Whether the windows are paused before linears of an expert, which some tokens reach.
  var isBeforeExpert: Bool {
    guard case .group(let group, _) = place else { return false }
    return group.expert != nil
  }

  /// Returns the tokens of a window that reach the next linears; nil if all do.
  func tokens(ofWindow index: Int) -> [Int]? {
    guard case .group(let group, _) = place else { return nil }
    return model.tokens(of: windows[index], before: group)
  }

  /// Computes the input of the next linears for a window.
  ///
  /// It is computed on each call unless the window keeps it: keeping it for all windows would take more memory
  /// than anything else.
  ///
  /// - Parameters:
  ///   - index: The window.
  ///   - tokens: The tokens of an expert; nil for those that the model's router sends there.
  /// - Returns: `[tokens, in]`.
  func input(ofWindow index: Int, tokens: [Int]? = nil) -> Matrix {
    switch place {
    case .group(let group, let layer):
      model.input(of: windows[index], model.layers[layer], before: group, tokens: tokens)
    case nil: preconditionFailure("the windows are halted before no linears")
    case .head: model.finalNorm(windows[index].hidden)
    }
  }

  /// Runs every window through a whole layer again.
  ///
  /// - Parameters:
  ///   - index: The layer.
  ///   - streams: The windows before it.
  mutating func repeatLayer(_ index: Int, from streams: [WindowStream]) {
    windows = streams.map { HaltedWindow($0) }
    finish(layer: index)
  }

  /// Estimates the memory of the inputs that windows keep.
  static func keptMemory(_ tokens: MemoryEstimate, _ sizes: ModelSizes) -> MemoryEstimate {
    min(4 * tokens * sizes.order, MemoryEstimate(keptBytes))
  }

  /// The number of windows that keep the input of the next linears until they move on.
  private var keptWindowCount: Int {
    guard place != nil, let length = windows.first?.hidden.rowCount else { return 0 }
    return Self.keptBytes / max(4 * length * inputCount, 1)
  }

  /// The number of input features of the next linears.
  private var inputCount: Int {
    switch place {
    case .group(let group, let layer): model.layers[layer][group].inputCount
    case nil: preconditionFailure("the windows are halted before no linears")
    case .head: model.configuration.hiddenSize
    }
  }

  /// Returns the moments of the next linears' input.
  ///
  /// The other model's input of an expert is that of the tokens which this model sends there. Inputs are
  /// rounded as for their products with weights.
  ///
  /// - Parameters:
  ///   - name: The name for errors.
  ///   - other: Another model with the same windows paused at the same place, or nil.
  /// - Returns: `E[x · xᵀ]` and, with the other model's input `y`, `E[(y - x) · xᵀ]`, both `[in, in]`.
  /// - Throws: `ModelError.notFinite`.
  func moments(
    named name: String, beside other: LayerWalk?
  ) throws -> (own: SecondMoments, difference: CrossMoments?) {
    let order = inputCount
    var own = SecondMoments(order: order)
    var difference = other.map { _ in CrossMoments(rows: order, columns: order) }
    // A sum reaches this process after those before it, so that the inputs have to wait for it.
    var waiting: (inputs: [Matrix], pairs: [(x: Matrix, y: Matrix)]) = ([], [])
    for index in windows.indices {
      let x = input(ofWindow: index)
      guard x.rowCount > 0 else { continue }
      let y = other.map { inputDifference(from: x, ofWindow: index, in: $0) }
      guard group.count == 1 else {
        waiting.inputs.append(x)
        if let y { waiting.pairs.append((y, x)) }
        continue
      }
      own.add(x, operands: model.operands)
      if let y { difference?.add(y, 0..<order, x, operands: model.operands) }
    }
    if group.count > 1 {
      try own.add(waiting.inputs, operands: model.operands, over: group)
      try difference?.add(waiting.pairs, operands: model.operands, over: group)
    }
    guard own.isFinite else { throw ModelError.notFinite("the input of '\(name)'") }
    return (own, difference)
  }

  /// Returns another model's input of the next linears minus this model's input x.
  private func inputDifference(from x: Matrix, ofWindow index: Int, in other: LayerWalk) -> Matrix {
    var difference = other.input(ofWindow: index, tokens: tokens(ofWindow: index))
    var span = difference.values.mutableSpan
    addScaled(x.values.span, scale: -1, to: &span)
    return difference
  }

  /// Returns the moments of the next linears' input, `E[x · xᵀ]`; nil if no token reaches them.
  ///
  /// - Throws: `ModelError.notFinite`.
  func moments(named name: String) throws -> DoubleMatrix? {
    let moments = try moments(named: name, beside: nil).own
    return moments.count > 0 ? DoubleMatrix(moments) : nil
  }
}
