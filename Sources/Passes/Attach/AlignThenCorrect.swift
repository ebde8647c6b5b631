import Checkpoints
import Kernels
import Models

/// Computes adapters from a text's activations in the original and the quantized model, and from the
/// gradients of its loss.
///
/// Both stages go from the first layer to the last. In the first stage, each adapter aligns its linear's
/// output with the original model's output on the original's inputs, in the norm of the loss's gradients. The
/// second stage takes a step down the loss of the compensated model. Gradients are computed from the model as
/// it is when the layer is reached. For pooled adapters, both stages treat the linears as if they read the
/// sums of groups.
///
/// Source: Align-Then-Correct, arXiv:2610.08164, which collects the first stage's gradients only once.
struct AlignThenCorrect {
  /// The maximum number of windows for gradients.
  private static let gradientWindowLimit = 16
  private let options: AttachOptions
  private let selected: Set<String>
  private let progress: ProgressHandler
  private let tokens: [[Int32]]
  private let rotary: RotaryTables
  private var teacher: LayerWalk
  private var student: LayerWalk
  private var done = 0
  private var losses = (before: 0.0, after: 0.0)
  /// The number of linears of experts that no token reached.
  private var unreached = 0

  /// - Parameters:
  ///   - options: The options of the pass.
  ///   - modules: Quantized linears of layers.
  ///   - models: The original model, the quantized one, and the windows.
  ///   - progress: Called after each linear.
  /// - Throws: `ModelError.tokenOutOfRange`.
  init(
    _ options: AttachOptions, modules: [String], _ models: CompensatedModels,
    progress: @escaping ProgressHandler
  ) throws {
    self.options = options
    self.progress = progress
    selected = Set(modules)
    tokens = models.windows
    rotary = models.student.rotaryTables(positions: models.windows.first?.count ?? 0)
    teacher = try LayerWalk(models.teacher, models.windows)
    student = try LayerWalk(models.student, models.windows)
  }

  /// The report: the loss of the windows that gradients are taken from.
  var report: [ReportItem] {
    [
      ReportItem("nll_per_token_before", .number(losses.before)),
      ReportItem("nll_per_token_after", .number(losses.after)),
    ] + .modulesWithoutTokens(unreached)
  }

  /// Computes every adapter.
  ///
  /// - Parameter keep: Called with each linear and its adapter.
  /// - Throws: `PassError.notFinite`, `ModelError.notFinite`, or the errors of `keep`.
  mutating func run(_ keep: (Linear) throws -> Void) throws {
    let judged = Array(tokens.prefix(Self.gradientWindowLimit))
    losses.before = try student.model.evaluate(judged).nllPerToken
    for index in student.model.layers.indices { try align(layer: index) }
    if options.tau > 0 {
      var walk = try LayerWalk(student.model, judged)
      for index in walk.model.layers.indices {
        try correct(layer: index, &walk)
        walk.finish(layer: index)
      }
      student.model = walk.model
    }
    losses.after = try student.model.evaluate(judged).nllPerToken
    for linear in student.model.layerLinears where selected.contains(linear.name) { try keep(linear) }
  }

  private mutating func align(layer index: Int) throws {
    let gradients = try gradients(in: student, layer: index, withWeights: false)
    for (number, group) in student.model.layers[index].groupKinds.enumerated() {
      student.advance(layer: index, to: .before(group))
      teacher.advance(layer: index, to: .before(group))
      var linears = student.model.layers[index][group].linears
      let chosen = linears.indices.filter { selected.contains(linears[$0].name) }
      guard let first = chosen.first else { continue }
      let inputs = try student.moments(named: linears[first].name).map { moments in
        (moments: moments, cross: crossMoments(order: moments.rowCount))
      }
      if inputs == nil { unreached += chosen.count }
      for position in chosen {
        let original = teacher.model.layers[index][group].linears[position]
        let factors = try namingModule(original.name) {
          let (weight, quantized) = (try original.foldedDoubles(), try linears[position].foldedDoubles())
          guard let inputs else {
            return try LowRankFactors(
              of: weight.subtracting(quantized), options, groupSize: groupSize(of: linears[position]))
          }
          return try LowRankFactors.aligning(
            original: weight, quantized: quantized, crossMoments: inputs.cross, moments: inputs.moments,
            gradientMoments: gradients[number].linears[position].outputs, rank: options.rank,
            step: options.eta, groupSize: groupSize(of: linears[position]))
        }
        linears[position].adapter = adapter(from: factors, of: linears[position])
        tell("align", linears[position].name)
      }
      student.model.layers[index][group].linears = linears
    }
    student.finish(layer: index)
    teacher.finish(layer: index)
  }

  /// The moments of the next linears' inputs in the original model, times those in the quantized model; an
  /// expert's are those of the tokens that the quantized model sends there.
  private func crossMoments(order: Int) -> DoubleMatrix {
    var cross = CrossMoments(rows: order, columns: order)
    for window in student.windows.indices {
      let left = student.input(ofWindow: window)
      guard left.rowCount > 0 else { continue }
      let right = teacher.input(ofWindow: window, tokens: student.tokens(ofWindow: window))
      cross.add(right, 0..<right.columnCount, left)
    }
    return cross.means
  }

  private mutating func correct(layer index: Int, _ walk: inout LayerWalk) throws {
    let gradients = try gradients(in: walk, layer: index, withWeights: true)
    for (number, group) in walk.model.layers[index].groupKinds.enumerated() {
      var linears = walk.model.layers[index][group].linears
      for position in linears.indices where selected.contains(linears[position].name) {
        guard let adapter = linears[position].adapter, gradients[number].tokenCount > 0,
          let weight = gradients[number].linears[position].weight
        else { continue }
        let product = DoubleMatrix(adapter.loraB).times(DoubleMatrix(adapter.loraA))
        let factors = try namingModule(linears[position].name) {
          try LowRankFactors.correcting(
            change: product.scaled(by: Double(adapter.scaling) / Double(adapter.groupSize)),
            gradient: weight, moments: gradients[number].inputs,
            gradientMoments: gradients[number].linears[position].outputs, rank: options.rank,
            bound: options.tau, groupSize: adapter.groupSize)
        }
        linears[position].adapter = self.adapter(from: factors, of: linears[position])
        tell("correct", linears[position].name)
      }
      walk.model.layers[index][group].linears = linears
    }
  }

  /// The number of columns that an adapter pools into one.
  private func groupSize(of linear: Linear) -> Int {
    options.kind == .pooled ? linear.weight.columnGranularity : 1
  }

  private func adapter(from factors: LowRankFactors, of linear: Linear) -> LowRankAdapter {
    options.adapter(from: factors, of: linear, groupSize: groupSize(of: linear))
  }

  private mutating func tell(_ phase: String, _ name: String) {
    done = done % selected.count + 1
    progress(Progress(phase: phase, completed: done, total: selected.count, detail: name))
  }

  /// The moments of a group of linears from the gradients of the loss.
  private struct GroupGradients {
    /// The number of tokens that reached the group.
    let tokenCount: Int
    /// `E[x·xᵀ]`.
    let inputs: DoubleMatrix
    let linears: [(outputs: DoubleMatrix, weight: DoubleMatrix?)]
  }

  /// Computes the gradients of the layer that the windows have reached.
  private func gradients(
    in walk: LayerWalk, layer index: Int, withWeights: Bool
  ) throws -> [GroupGradients] {
    let layer = walk.model.layers[index]
    var sums = layer.groups.map { GroupSums($0, withWeights: withWeights) }
    for (window, tokens) in zip(walk.windows, tokens).prefix(Self.gradientWindowLimit) {
      let loss = walk.model.outputGradients(
        of: tokens, stream: window.stream, layer: index, rotary: rotary
      ) { group, x, dy in
        sums[layer.index(of: group)].add(x, dy)
      }
      guard loss.isFinite else { throw ModelError.notFinite("the loss of the text") }
    }
    return sums.map(\.means)
  }

  /// The sums that give the moments of a group of linears.
  private struct GroupSums {
    private let columns: [Range<Int>]
    private var inputs: SecondMoments
    private var outputs: [SecondMoments]
    private var weights: [CrossMoments]

    init(_ group: LinearGroup, withWeights: Bool) {
      columns = group.linears.indices.map { group.columns(of: $0) }
      inputs = SecondMoments(order: group.inputCount)
      outputs = columns.map { SecondMoments(order: $0.count) }
      weights = withWeights ? columns.map { CrossMoments(rows: $0.count, columns: group.inputCount) } : []
    }

    mutating func add(_ x: Matrix, _ dy: Matrix) {
      if !weights.isEmpty { inputs.add(x) }
      for (i, range) in columns.enumerated() {
        outputs[i].add(dy.columns(range))
        if !weights.isEmpty { weights[i].add(dy, range, x) }
      }
    }

    var means: GroupGradients {
      GroupGradients(
        tokenCount: outputs.first?.count ?? 0, inputs: DoubleMatrix(inputs),
        linears: outputs.indices.map { i in
          (DoubleMatrix(outputs[i]), weights.isEmpty ? nil : weights[i].means)
        })
    }
  }
}

extension Matrix {
  /// Returns a copy of some columns.
  fileprivate func columns(_ range: Range<Int>) -> Matrix {
    if range.count == columnCount { return self }
    var part = Matrix.unspecified(rows: rowCount, columns: range.count)
    for i in 0..<rowCount {
      let start = i * columnCount
      part.values.replaceSubrange(
        part.row(i), with: values[start + range.lowerBound..<start + range.upperBound])
    }
    return part
  }
}
