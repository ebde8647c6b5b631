import Checkpoints
import Kernels
import Models

extension CalibrateOptions {
  static let keys = [
    "text", "samples", "sampled", "length", "updates", "batch", "learning_rate", "learning_rate_scale",
    "validation", "patience", "validate_every", "seed", "model_weight", "ground_truth_weight",
    "kl_weight", "kl_top_k", "kl_temperature", "scope", "schedule", "warmup", "products", "teacher",
    "train",
  ]
  /// More windows or updates than any run has.
  private static let countLimit = 1_000_000
  /// More tokens than any model takes.
  static let lengthLimit = 1 << 20

  /// Reads the options of a recipe's `calibrate`.
  init(reading reader: RecipeReader) throws {
    let map = try reader.map(keys: Self.keys)
    let counts = 1...Self.countLimit
    self.init(text: nil)
    texts = try map.optional("text") { try $0.texts() } ?? []
    samples = try map.value("samples", default: samples) { try $0.integer(in: counts) }
    sampled = try map.sampled(of: samples, texts: texts, default: sampled)
    length = try map.value("length", default: length) { try $0.integer(in: 2...Self.lengthLimit) }
    updates = try map.value("updates", default: updates) { try $0.integer(in: counts) }
    batch = try map.value("batch", default: batch) { try $0.integer(in: counts) }
    learningRate = try map.optional("learning_rate") { try $0.number(.aboveUpTo(0, 1)) }
    learningRateScale = try map.value("learning_rate_scale", default: learningRateScale) {
      try LearningRateScale(reading: $0)
    }
    validation = try map.value("validation", default: validation) {
      try $0.integer(in: 0...Self.countLimit)
    }
    patience = try map.value("patience", default: patience) { try $0.integer(in: counts) }
    validateEvery = try map.value("validate_every", default: validateEvery) { try $0.integer(in: counts) }
    seed = try map.value("seed", default: seed) { try $0.seed() }
    modelWeight = try map.value("model_weight", default: modelWeight) { try $0.number(.atLeast(0)) }
    groundTruthWeight = try map.value("ground_truth_weight", default: groundTruthWeight) {
      try $0.number(.atLeast(0))
    }
    klWeight = try map.value("kl_weight", default: klWeight) { try $0.number(.atLeast(0)) }
    klTopK = try map.optional("kl_top_k") { try $0.integer(in: 2...Self.countLimit) }
    klTemperature = try map.value("kl_temperature", default: klTemperature) {
      try $0.number(.aboveUpTo(0, 100))
    }
    scope = try map.value("scope", default: scope) { try $0.choice() }
    schedule = try map.value("schedule", default: schedule) { try $0.choice() }
    warmup = try map.value("warmup", default: warmup) { try $0.integer(in: 0...updates - 1) }
    products = try map.value("products", default: products) { try $0.choice() }
    teacher = try map.optional("teacher") { try $0.path() }
    train = try map.optional("train") { try $0.choices(elseDoing: "trains nothing") }
    try requireTexts(reader, map)
    guard modelWeight > 0 || groundTruthWeight > 0 || klWeight > 0 else {
      throw reader.failure("model_weight, ground_truth_weight and kl_weight are all 0")
    }
    guard klWeight > 0 || (klTopK == nil && klTemperature == 1) else {
      throw reader.failure("'kl_top_k' and 'kl_temperature' are of no use when 'kl_weight' is 0")
    }
  }

  /// Refuses windows from nowhere, and a text that no window comes from.
  private func requireTexts(_ reader: RecipeReader, _ map: RecipeMap) throws {
    if texts.isEmpty, sampled == 0 { _ = try map.required("text") }
    guard !texts.isEmpty || sampled == samples else {
      throw reader.failure("'sampled' is less than 'samples', so there must be a 'text'")
    }
    guard texts.isEmpty || sampled < samples || validation > 0 else {
      throw reader.failure("'text' is of no use when 'sampled' is all windows and 'validation' is 0")
    }
    try reader.requireWindows(max(samples - sampled, validation), for: texts)
  }

  /// Every option by its key.
  var members: [JSONValue.Member] {
    [
      .init("text", .texts(texts)),
      .init("samples", .integer(samples)),
      .init("sampled", .integer(sampled)),
      .init("length", .integer(length)),
      .init("updates", .integer(updates)),
      .init("batch", .integer(batch)),
      .init("learning_rate", .optional(learningRate, JSONValue.double)),
      .init("learning_rate_scale", learningRateScale.json),
      .init("validation", .integer(validation)),
      .init("patience", .integer(patience)),
      .init("validate_every", .integer(validateEvery)),
      .init("seed", .seed(seed)),
      .init("model_weight", .double(modelWeight)),
      .init("ground_truth_weight", .double(groundTruthWeight)),
      .init("kl_weight", .double(klWeight)),
      .init("kl_top_k", .optional(klTopK, JSONValue.integer)),
      .init("kl_temperature", .double(klTemperature)),
      .init("scope", .string(scope.rawValue)),
      .init("schedule", .string(schedule.rawValue)),
      .init("warmup", .integer(warmup)),
      .init("products", .string(products.rawValue)),
      .init("teacher", .optional(teacher) { .recipeText($0.written) }),
      .init("train", .optional(train) { .array($0.map { .string($0.rawValue) }) }),
    ]
  }
}

extension LearningRateScale {
  private static let limits = NumberLimits.aboveUpTo(0, 1000)

  fileprivate init(reading reader: RecipeReader) throws {
    let map = try reader.map(keys: Trainable.allCases.map(\.rawValue))
    self.init()
    adapter = try map.value("adapter", default: adapter) { try $0.number(Self.limits) }
    bias = try map.value("bias", default: bias) { try $0.number(Self.limits) }
    scale = try map.value("scale", default: scale) { try $0.number(Self.limits) }
    code = try map.value("code", default: code) { try $0.number(Self.limits) }
  }

  fileprivate var json: JSONValue {
    .object([
      .init("adapter", .double(adapter)), .init("bias", .double(bias)), .init("scale", .double(scale)),
      .init("code", .double(code)),
    ])
  }
}
