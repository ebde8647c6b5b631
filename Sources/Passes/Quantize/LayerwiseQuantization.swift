import Checkpoints
import Kernels
import Models

/// Quantizes layer after layer, each for the inputs that the quantized layers before it produce.
///
/// Windows of a text run through the model together and pause before each group of linears. The moments of
/// their inputs determine how the linears are quantized; the output of the quantized linears continues to the
/// next group.
struct LayerwiseQuantization {
  /// The number of windows whose outputs are compared with the original's for the report; few, because they
  /// are computed only for it.
  private static let comparedWindows = 8
  /// The least number of tokens for an expert's moments, as a share of its input features.
  ///
  /// The moments of fewer tokens have so small a rank that fitting a weight to them fits what these tokens
  /// have by chance.
  private static let leastTokensPerFeature = 0.25
  /// What is added to the moments of an output head that is the embedding, too, as a share of their mean
  /// diagonal: an error of a row enters the model as it is where the row's token is read.
  private static let embeddingRidge: Float = 1
  private let options: QuantizeOptions
  private let grids: [String: QuantizationGrid]
  private var walk: LayerWalk
  /// The same windows in the original model; nil when nothing is compared with it.
  private var originalWalk: LayerWalk?
  private let propagation: ErrorPropagation?
  private let training: LayerTraining?
  private let progress: ProgressHandler
  private var done = 0

  /// The largest damping of any factorization.
  private(set) var damping = 0.0
  private(set) var error = OutputError()
  /// The same error of each linear by name; nothing for linears whose outputs are not compared.
  private(set) var outputErrors: [String: Double] = [:]
  /// What the training of each layer gave.
  private(set) var trainedLayers: [LayerTraining.Outcome] = []
  /// The experts' linears that too few tokens reached, with the number of tokens; their moments are not used.
  private(set) var scarceTokens: [(module: String, tokens: Int)] = []
  /// `E[x²]` of every input feature of each quantized linear, in order; 1 where too few tokens are known.
  private(set) var importance: [MeasuredImportance] = []

  /// - Parameters:
  ///   - options: The options of the pass.
  ///   - grids: The grid of each module to quantize; other modules do not change.
  ///   - input: The checkpoint.
  ///   - tokens: Windows of the text.
  ///   - group: The processes that share the windows, except when layers are trained.
  ///   - progress: Called after each linear.
  /// - Throws: `FormatError` or `ModelError`.
  init(
    _ options: QuantizeOptions, grids: [String: QuantizationGrid], input: Checkpoint, tokens: [[Int32]],
    group: any ProcessGroup = SingleProcess(), progress: @escaping ProgressHandler
  ) throws {
    self.options = options
    self.grids = grids
    self.progress = progress
    var model = try Transformer(input)
    model.operands = options.products
    try model.requireTokens(tokens, from: Tokenizer.path(in: input))
    // Training a layer takes all windows.
    walk = try LayerWalk(model, tokens, over: options.layerEpochs > 0 ? SingleProcess() : group)
    training =
      options.layerEpochs > 0
      ? LayerTraining(options, model: model, length: options.length) : nil
    propagation =
      options.propagation > 0
      ? ErrorPropagation(share: options.propagation, damping: options.damping) : nil
    originalWalk = propagation == nil && training == nil ? nil : walk
  }

  /// Quantizes the selected linears of the layers, and the output head, be it the embedding or its own.
  ///
  /// - Parameter keep: Called with each linear's name and packed tensor.
  /// - Throws: `PassError.notFinite`, `ModelError.notFinite`, or the errors of `keep`.
  mutating func run(_ keep: (String, PackedTensor) throws -> Void) throws {
    for index in walk.model.layers.indices {
      guard isUnfinished else { return }
      for (name, tensor) in try quantizeLayer(index) { try keep(name, tensor) }
    }
    walk.haltBeforeHead()
    originalWalk?.haltBeforeHead()
    if walk.model.hasOwnHead {
      var head = walk.model.head.linears
      try quantize(&head, keep: keep)
    } else {
      try quantizeEmbedding(keep: keep)
    }
  }

  /// Whether a linear is left to quantize; after the last one, nothing reads the windows.
  private var isUnfinished: Bool { done < grids.count }

  /// Quantizes an embedding that is the output head, too, by the inputs of the head.
  ///
  /// It corrects no error of the layers: that would change the model's input.
  private mutating func quantizeEmbedding(keep: (String, PackedTensor) throws -> Void) throws {
    // A checkpoint may have the head as a copy, which stays one.
    var tensors = [Linear(name: walk.model.embeddingName, weight: walk.model.embedding)]
    tensors += walk.model.head.linears
    tensors.removeAll { grids[$0.name] == nil }
    guard let name = tensors.first?.name else { return }
    let sums = try walk.moments(named: name, beside: nil).own
    let input = try statistics(of: name, sums, nil, ridge: Self.embeddingRidge)
    try quantize(&tensors, for: input, comparing: nil, keep: keep)
  }

  /// Quantizes a layer and runs the windows through it, unless nothing is left that reads them.
  ///
  /// - Returns: The names of its linears and their packed tensors.
  private mutating func quantizeLayer(_ index: Int) throws -> [(name: String, tensor: PackedTensor)] {
    let original = walk.model.layers[index]
    let inputs = training == nil ? [] : walk.windows.map(\.stream)
    var packed: [(name: String, tensor: PackedTensor)] = []
    for group in original.groupKinds {
      walk.advance(layer: index, to: .before(group))
      originalWalk?.advance(layer: index, to: .before(group))
      var linears = walk.model.layers[index][group].linears
      try quantize(&linears) { packed.append(($0, $1)) }
      walk.model.layers[index][group].linears = linears
    }
    let isTrained = training != nil && !packed.isEmpty
    guard isUnfinished || isTrained else { return packed }
    walk.finish(layer: index)
    originalWalk?.finish(layer: index)
    guard isTrained, let training, let originalWalk else { return packed }
    let (progress, done, total) = (progress, done, grids.count)
    var layer = walk.model.layers[index]
    let outcome = training.train(
      &layer, modules: Set(packed.map(\.name)), original: original, inputs: inputs,
      expected: originalWalk.windows.map(\.hidden)
    ) { update, updates in
      progress(
        Progress(
          phase: "quantize", completed: done, total: total,
          detail: "layer \(index), update \(update) of \(updates)"))
    }
    trainedLayers.append(outcome)
    walk.model.layers[index] = layer
    let trained = zip(layer.linears, original.linears)
    packed = trained.compactMap { linear, original in
      grids[linear.name].map { grid in
        (linear.name, PackedTensor(linear.weight, on: grid, of: original.weight))
      }
    }
    if isUnfinished { walk.repeatLayer(index, from: inputs) }
    return packed
  }

  /// Quantizes the linears that the windows are paused before.
  private mutating func quantize(
    _ linears: inout [Linear], keep: (String, PackedTensor) throws -> Void
  ) throws {
    guard let first = linears.first(where: { grids[$0.name] != nil }) else { return }
    try quantize(
      &linears, for: try statistics(of: first.name), comparing: comparedInputs, keep: keep)
  }

  /// Quantizes linears that read one input; `compared` are the inputs for measuring errors, nil for no measure.
  private mutating func quantize(
    _ linears: inout [Linear], for input: InputStatistics, comparing compared: [OutputError.Inputs]?,
    keep: (String, PackedTensor) throws -> Void
  ) throws {
    var quantizer: (any RowQuantizer)?
    for index in linears.indices {
      let (name, weight) = (linears[index].name, linears[index].weight)
      guard let grid = grids[name] else { continue }
      // What is prepared for a grid serves all linears with it.
      let current = quantizer.flatMap { $0.grid == grid ? $0 : nil } ?? self.quantizer(grid, for: input)
      quantizer = current
      let packed = try current.quantize(weight, name: name + ".weight", correction: input.correction)
      linears[index].weight = weight.replaced(by: packed, on: grid)
      if let compared {
        let before = error
        try measure(linears[index].weight, packed, against: weight, input, compared)
        outputErrors[name] = error.relative(since: before)
      }
      if input.isScarce { scarceTokens.append((name, input.tokenCount)) }
      importance.append(
        MeasuredImportance(
          module: name, values: input.importance, tokenCount: input.isScarce ? 0 : input.tokenCount))
      try keep(name, packed)
      done += 1
      progress(Progress(phase: "quantize", completed: done, total: grids.count, detail: name))
    }
  }

  /// What is known about the input of linears.
  private struct InputStatistics {
    let moments: MomentMatrix
    let tokenCount: Int
    /// Whether too few tokens are known to make use of the moments.
    let isScarce: Bool
    /// `E[x²]`; 1 where too few tokens are known.
    let importance: [Float]
    /// The matrix that weights are multiplied by first.
    let correction: [Float]?
    /// For `gptq`.
    let feedback: GPTQFeedback?
  }

  /// Computes the statistics of the next linears' input; the sums in double precision do not outlive this.
  private mutating func statistics(of name: String) throws -> InputStatistics {
    let (sums, difference) = try walk.moments(
      named: name, beside: propagation == nil ? nil : originalWalk)
    return try statistics(of: name, sums, difference)
  }

  /// Computes statistics from sums; `ridge` is what is added to the moments, as a share of their mean diagonal.
  private mutating func statistics(
    of name: String, _ sums: consuming SecondMoments, _ difference: consuming CrossMoments?, ridge: Float = 0
  ) throws -> InputStatistics {
    let tokenCount = sums.count
    let isScarce =
      walk.isBeforeExpert && Double(tokenCount) < Self.leastTokensPerFeature * Double(sums.order)
    let importance = isScarce ? [Float](repeating: 1, count: sums.order) : sums.importance
    let moments = MomentMatrix(sums, ridge: ridge)
    var correction: [Float]?
    var feedback: GPTQFeedback?
    if !isScarce {
      try namingModule(name) {
        correction = try difference.take().flatMap { try propagation?.correction($0, moments) }
        guard options.method == .gptq else { return }
        let made = try GPTQFeedback(
          moments: moments, damping: options.damping, activationOrder: options.activationOrder)
        damping = max(damping, made.damping)
        feedback = made
      }
    }
    return InputStatistics(
      moments: moments, tokenCount: tokenCount, isScarce: isScarce, importance: importance,
      correction: correction, feedback: feedback)
  }

  /// The inputs, of this process's part of some windows, of the linears that they are paused before; empty if
  /// errors are not measured on outputs.
  private var comparedInputs: [OutputError.Inputs] {
    guard let originalWalk, training == nil else { return [] }
    return walk.windows.indices.filter { walk.share.lowerBound + $0 < Self.comparedWindows }.compactMap {
      index in
      let input = walk.input(ofWindow: index)
      guard input.rowCount > 0 else { return nil }
      return OutputError.Inputs(
        quantized: input, original: originalWalk.input(ofWindow: index, tokens: walk.tokens(ofWindow: index)))
    }
  }

  /// Adds a linear to the error, unless training will change the linear and report its own loss.
  private mutating func measure(
    _ quantized: Weight, _ packed: PackedTensor, against original: Weight, _ input: InputStatistics,
    _ compared: [OutputError.Inputs]
  ) throws {
    guard training == nil else { return }
    let outputs = OutputError.squares(
      of: quantized, to: original, inputs: compared, operands: options.products)
    let all = originalWalk == nil ? [] : try walk.group.gathered(outputs)
    if !all.isEmpty {
      for squares in all { error.add(squares) }
    } else if let squares = packed.outputSquares, input.correction == nil {
      error.add(squares)
    } else {
      error.add(of: quantized, to: original, moments: input.moments)
    }
  }

  /// Returns the quantizer of linears on one grid that read one input.
  private func quantizer(_ grid: QuantizationGrid, for input: InputStatistics) -> any RowQuantizer {
    guard !input.isScarce else { return options.method.quantizer(withoutMoments: grid) }
    let base = unrefinedQuantizer(grid, for: input)
    let steps = Refinement.Steps(refits: options.refit, sweeps: options.sweeps)
    guard !steps.areNone else { return base }
    return RefinedQuantizer(base, Refinement(grid: grid, moments: input.moments, steps: steps))
  }

  private func unrefinedQuantizer(
    _ grid: QuantizationGrid, for input: InputStatistics
  ) -> any RowQuantizer {
    switch options.method {
    case .rtn: return RoundToNearest(grid: grid)
    case .nf2: preconditionFailure("makes no use of a text")
    case .hqq: return HalfQuadratic(grid: grid)
    case .search: return ClipSearch(grid: grid, importance: input.importance)
    case .gptq:
      guard let feedback = input.feedback else { preconditionFailure("gptq has no feedback") }
      return GPTQ(grid: grid, feedback)
    }
  }
}

extension RowQuantizer {
  /// Quantizes a linear's weight.
  func quantize(_ weight: Weight, name: String, correction: [Float]? = nil) throws -> PackedTensor {
    try quantize(
      rows: weight.rowCount, columns: weight.columnCount, name: name, correction: correction
    ) { rows, values in
      weight.unpack(rows: rows, columns: 0..<weight.columnCount, into: &values)
    }
  }
}

extension Weight {
  /// Returns the weight as codes and tables.
  func replaced(by packed: PackedTensor, on grid: QuantizationGrid) -> Weight {
    Weight(rows: rowCount, columns: columnCount, values: .packed(PackedWeight(packed, on: grid)))
  }
}
