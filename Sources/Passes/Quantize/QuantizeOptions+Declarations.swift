import Checkpoints
import Kernels

extension QuantizeOptions {
  /// Every option, in the order in which it is written.
  @PassOptionTable<Self> public static var declarations: [PassOption<Self>] {
    selectionDeclarations
    statisticsDeclarations
    Option(
      "importance", \.importance, .path,
      "importance file, of rilq or llama.cpp, that `search` reads instead of windows; see `importance.md`"
    ).byDefault("none").when { $0.importance != nil }
    Option(
      "importance_output", \.importanceOutput, .outputPath,
      "importance file to write, llama.cpp's if its name ends in `.gguf`; replaced only with `--force`"
    ).byDefault("none").when { $0.importanceOutput != nil }
    Option(
      "damping", \.damping, .number(.aboveUpTo(0, 1)),
      "damping of `gptq` and `propagation`, as a share of the moments' mean diagonal"
    ).when { $0.method == .gptq || $0.propagation > 0 }
    Option(
      "activation_order", \.activationOrder, .toggle,
      "`gptq`: columns in order of decreasing activation, tables from the original weights"
    ).when { $0.method == .gptq }
  }

  @PassOptionTable<Self> private static var selectionDeclarations: [PassOption<Self>] {
    Option(
      "method", \.method, .word,
      "how codes are found; `gptq` needs windows, `search` may have them; `nf2` leaves dense weights")
    Option(
      "grid", \.grid, .word,
      "what scales and biases are: floats for each group; floats with an integer zero point, as GPTQ has; or "
        + "llama.cpp's small integers in blocks of 256, whose codes are free or, in `iq2_xs` and `iq2_s`, "
        + "points of a lattice"
    ).when { $0.grid != .affine }
    Option(
      "fallback_bits", \.fallbackBits, .integer(among: allowedBits),
      "bits, in groups of 32, of modules whose rows are no whole blocks of the grid"
    ).byDefault("they are refused").when { $0.grid.superBlock != nil && $0.fallbackBits != nil }
    Option("bits", \.bits, .integer(among: allowedBits), "width of a code").when {
      $0.method != .nf2 && $0.budget == nil && $0.grid.superBlock == nil
    }
    Option(
      "bits_per_weight", \.bitsPerWeight, .number(.aboveUpTo(2, 8)),
      "average bits per weight, codes and tables together, distributed by sensitivity; needs windows"
    ).byDefault("all have `bits`").when { $0.bitsPerWeight != nil && $0.method != .nf2 }
    Option(
      "bits_per_parameter", \.bitsPerParameter, .number(.aboveUpTo(0, 16)),
      "the same for all parameters of the checkpoint, embedding and output head among the modules"
    ).byDefault("all have `bits`").when { $0.bitsPerParameter != nil && $0.method != .nf2 }
    Option(
      "size", \.size, .byteCount, "the same as the bytes of all tensors of the checkpoint"
    ).byDefault("all have `bits`").when { $0.size != nil && $0.method != .nf2 }
    Option(
      "group_size", \.groupSize, .integer(among: allowedGroupSizes),
      "columns that share a scale and a bias"
    ).when { $0.grid.superBlock == nil }
    Option(
      "embedding_bits", \.embeddingBits, .integer(among: allowedBits),
      "width of a code of the embedding and the output head, on the same kind of grid"
    ).byDefault("they are left as they are").when { $0.embeddingBits != nil && $0.method != .nf2 }
    Option("targets", \.targets, .targets, "modules to quantize")
      .byDefault("all linears of the layers")
    Option("ignore", \.ignore, .patterns, "modules to leave as they are")
    Option("tables", \.tables, .floatType, "dtype of the stored scales and biases").byDefault(
      "`f32`; with zero points `f16`"
    ).when { $0.method != .nf2 && $0.grid.superBlock == nil }
    Option(
      "overrides", \.overrides, .overrides, "other bits, group sizes and grids for some modules, see below"
    ).inRecipesOnly().when { !$0.overrides.isEmpty }
  }

  @PassOptionTable<Self> private static var statisticsDeclarations: [PassOption<Self>] {
    Option(
      "text", \.texts, .texts, "texts whose windows give the statistics of inputs, plain or `.jsonl`"
    ).when(\.hasWindows)
    Option("samples", \.samples, .integer(in: 1...1_000_000), "windows").when(\.hasWindows)
    Option(
      "sampled", \.sampled, .integer(in: 0...1_000_000).described("integer, 0 to `samples`"),
      "how many of the windows the original model writes"
    ) { .integer(in: 0...($0.texts.isEmpty ? 1_000_000 : $0.samples)) }.when(\.hasWindows)
    Option(
      "length", \.length, .integer(in: 2...CalibrateOptions.lengthLimit), "tokens per window"
    ).when(\.hasWindows)
    Option("seed", \.seed, .seed, "seed of the choice of windows").when(\.hasWindows)
    Option(
      "refit", \.refit, .toggle, "fits scales and biases to the codes, by the second moments of the inputs"
    ).when(\.hasWindows)
    Option(
      "sweeps", \.sweeps, .integer(in: 0...1000),
      "how often every code is chosen again, by the second moments of the inputs"
    ).when(\.hasWindows)
    Option(
      "propagation", \.propagation, .number(.within(0...1)),
      "share of the earlier layers' error that each linear corrects"
    ).when(\.hasWindows)
    Option(
      "products", \.products, .word, "what the operands of products with windows are rounded to"
    ).when(\.hasWindows)
    Option(
      "layer_epochs", \.layerEpochs, .integer(in: 0...1000),
      "epochs of training for each layer's codes, scales and biases"
    ).when(\.hasWindows)
    Option(
      "layer_batch", \.layerBatch, .integer(in: 1...1_000_000), "windows per update of a layer"
    ).when(\.trainsLayers)
    Option(
      "layer_learning_rate", \.layerLearningRate, .number(.aboveUpTo(0, 1)),
      "peak learning rate of a layer's scales and biases, in quantization steps"
    ).when(\.trainsLayers)
    Option(
      "layer_code_rate", \.layerCodeRate, .number(.within(0...1)),
      "peak learning rate of a layer's codes, in quantization steps"
    ).when(\.trainsLayers)
  }

  private var trainsLayers: Bool { hasWindows && layerEpochs > 0 }

  /// An empty list of texts makes the original model generate all windows; scales beside zero points are F16.
  public func completed(_ given: GivenOptions) -> Self {
    var options = self
    if given.has("text"), texts.isEmpty { options.sampled = samples }
    if grid.zeroPoints != nil, !given.has("tables") { options.tables = .f16 }
    return options
  }

  /// Rejects options that require or exclude others, and options that have no effect.
  public func validate(_ given: GivenOptions, after previous: [PassOptions]) throws {
    try requireWindows(given)
    try requireUse(given)
  }

  /// Rejects a method without the windows it needs, and windows without a source or a use.
  private func requireWindows(_ given: GivenOptions) throws {
    guard sampled <= samples else {
      throw given.failure(at: "sampled", "is '\(sampled)', expected an integer from 0 to \(samples)")
    }
    let needs = keysThatNeedWindows
    switch (method, hasWindows) {
    case (.gptq, false): throw given.failure("the method 'gptq' needs a 'text'")
    case (_, false): if let key = needs.first { throw given.failure("'\(key)' needs a 'text'") }
    case (.nf2, true): throw given.failure("the method 'nf2' makes no use of a 'text'")
    case (.rtn, true) where needs.isEmpty, (.hqq, true) where needs.isEmpty:
      throw given.failure(
        "the method '\(method.rawValue)' makes no use of a 'text'" + (texts.isEmpty ? " or 'sampled'" : ""))
    default: break
    }
    guard !hasWindows || texts.isEmpty == (sampled == samples) else {
      throw given.failure(
        texts.isEmpty
          ? "'sampled' is less than 'samples', so there must be a 'text'"
          : "'text' is not used when 'sampled' is all windows")
    }
    try given.requireWindows([samples - sampled], for: texts)
  }

  /// Rejects options that have no effect.
  private func requireUse(_ given: GivenOptions) throws {
    for key in ["samples", "length", "seed", "products", "importance_output"]
    where !hasWindows && given.has(key) {
      throw given.failure("'\(key)' is not used without a 'text'")
    }
    if importance != nil {
      guard method == .search else {
        throw given.failure("'importance' is not used by the method '\(method.rawValue)'")
      }
      guard !hasWindows else {
        throw given.failure("'importance' takes the place of a 'text', which is given")
      }
    }
    for key in ["damping", "activation_order"] where method != .gptq && given.has(key) {
      guard key != "damping" || propagation == 0 else { continue }
      throw given.failure("'\(key)' is not used by the method '\(method.rawValue)'")
    }
    for key in ["layer_batch", "layer_learning_rate", "layer_code_rate"]
    where layerEpochs == 0 && given.has(key) {
      throw given.failure("'\(key)' is not used without 'layer_epochs'")
    }
    try requireDense(given)
    try requireFreeTables(given)
    try requireFreeCodes(given)
    try requireWidths(given)
    let budgets = Self.budgetKeys.filter(given.has)
    if let budget = budgets.first, given.has("bits") {
      throw given.failure("'bits' is not used with '\(budget)'")
    }
    if budgets.count > 1 { throw given.failure("'\(budgets[0])' and '\(budgets[1])' are two budgets") }
  }

  private static let budgetKeys = ["bits_per_weight", "bits_per_parameter", "size"]

  /// Rejects options that a method without packing does not use.
  private func requireDense(_ given: GivenOptions) throws {
    guard method == .nf2 else { return }
    for key in ["bits", "embedding_bits", "tables"] + Self.budgetKeys where given.has(key) {
      throw given.failure("'\(key)' is not used by the method 'nf2'")
    }
    if overrides.contains(where: { $0.bits != nil }) {
      throw given.failure("'bits' of an override is not used by the method 'nf2'")
    }
  }

  /// Rejects options that a grid of super-blocks sets itself.
  private func requireFreeTables(_ given: GivenOptions) throws {
    guard grid == .affine || method != .nf2 else {
      throw given.failure("'grid' is not used by the method 'nf2'")
    }
    guard grid.superBlock != nil else {
      guard fallbackBits == nil else {
        throw given.failure("'fallback_bits' is not used with the grid '\(grid.rawValue)'")
      }
      return
    }
    for key in ["bits", "group_size", "tables"] where given.has(key) {
      throw given.failure("'\(key)' is not used with the grid '\(grid.rawValue)', which has its own")
    }
    let widths = SuperBlock.kTypes.map(\.bits)
    if let embeddingBits, !widths.contains(embeddingBits) {
      throw given.failure(
        at: "embedding_bits", "is '\(embeddingBits)', but blocks have \(widths.alternatives()) bits")
    }
  }

  /// Rejects what the points of a lattice do not have.
  private func requireFreeCodes(_ given: GivenOptions) throws {
    let grids = [grid] + overrides.compactMap(\.grid)
    guard let grid = grids.first(where: { $0.superBlock?.lattice != nil }) else { return }
    if method == .hqq {
      throw given.failure(
        "the method 'hqq' does not find points of the grid '\(grid.rawValue)'; 'rtn', 'search' and 'gptq' do")
    }
    if activationOrder {
      throw given.failure(
        "'activation_order' is not used with the grid '\(grid.rawValue)', which rounds 8 columns at once")
    }
  }

  /// Rejects widths of codes that a grid with zero points does not have, and a budget, which gives free tables.
  private func requireWidths(_ given: GivenOptions) throws {
    let grids = [(grid, bits)] + overrides.map { ($0.grid ?? grid, $0.bits ?? bits) }
    if let (grid, bits) = grids.first(where: { $0.0.zeroPoints?.allows(bits: $0.1) == false }) {
      throw given.failure("'bits' is \(bits), but the grid '\(grid.rawValue)' has codes of 2 bits")
    }
    guard let budget = Self.budgetKeys.first(where: given.has) else { return }
    let open = [grid] + overrides.filter { $0.bits == nil }.compactMap(\.grid)
    if let grid = open.first(where: { $0.zeroPoints != nil }) {
      throw given.failure("'\(budget)' is not used with the grid '\(grid.rawValue)'; give 'bits'")
    }
  }

  private var keysThatNeedWindows: [String] {
    [
      ("refit", refit), ("sweeps", sweeps > 0), ("propagation", propagation > 0),
      ("layer_epochs", layerEpochs > 0), ("bits_per_weight", bitsPerWeight != nil),
      ("bits_per_parameter", bitsPerParameter != nil), ("size", size != nil),
    ].filter(\.1).map(\.0)
  }
}
