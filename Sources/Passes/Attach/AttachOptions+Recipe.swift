import Checkpoints

extension AttachOptions {
  static let keys =
    [
      "kind", "rank", "alpha", "init", "targets", "ignore", "seed", "text", "samples", "length",
      "iterations", "teacher", "eta", "tau",
    ] + AdapterSource.keys

  /// Reads the options of a recipe's `attach`.
  init(reading reader: RecipeReader) throws {
    let map = try reader.map(keys: Self.keys)
    self.init()
    kind = try map.value("kind", default: kind) { try $0.choice() }
    rank = try map.value("rank", default: rank) { try $0.integer(in: 1...Self.rankLimit) }
    alpha = try map.value("alpha", default: alpha) { try $0.number(.above(0)) }
    initialization = try map.value("init", default: initialization) { try $0.choice() }
    targets = try map.optional("targets") { try $0.targets() }
    ignore = try map.value("ignore", default: ignore) { try $0.patterns() }
    seed = try map.value("seed", default: seed) { try $0.seed() }
    text = try map.optional("text") { try $0.path() }
    samples = try map.value("samples", default: samples) { try $0.integer(in: 1...1_000_000) }
    length = try map.value("length", default: length) { try $0.integer(in: 2...CalibrateOptions.lengthLimit) }
    iterations = try map.value("iterations", default: iterations) {
      try $0.integer(in: 1...Self.iterationLimit)
    }
    teacher = try map.optional("teacher") { try $0.path() }
    eta = try map.value("eta", default: eta) { try $0.number(.aboveUpTo(0, 1)) }
    tau = try map.value("tau", default: tau) { try $0.number(.within(0...1)) }
    adapter = try AdapterSource.read(map)
    if adapter != nil, let other = map.members.first(where: { !AdapterSource.keys.contains($0.name) }) {
      throw PassError.recipe(other.keyPlace, "does not go with 'adapter', which has its own")
    }
    try requireStatistics(reader, map)
  }

  /// Refuses an initialization without what it needs, and options that would have no effect.
  private func requireStatistics(_ reader: RecipeReader, _ map: RecipeMap) throws {
    if initialization.usesText, text == nil {
      throw reader.failure("the initialization '\(initialization.rawValue)' needs a 'text'")
    }
    if initialization == .loftq, iterations > 1, kind == .pooled {
      throw reader.failure(
        "more than 1 of 'iterations' need adapters of the kind 'dense': rounding takes from the biases what a pooled one adds to them"
      )
    }
    let useless =
      (initialization.usesText ? [] : ["text", "samples", "length"])
      + (initialization == .loftq ? [] : ["iterations"])
      + (initialization.usesTeacher ? [] : ["teacher"])
      + (initialization == .atc ? [] : ["eta", "tau"])
    for key in useless where map.has(key) {
      throw reader.failure("'\(key)' is of no use to the initialization '\(initialization.rawValue)'")
    }
  }

  /// Every option by its key; those of the adapter alone when one is taken.
  var members: [JSONValue.Member] {
    guard adapter == nil else { return AdapterSource.members(adapter) }
    return [
      .init("kind", .string(kind.rawValue)),
      .init("rank", .integer(rank)),
      .init("alpha", .double(alpha)),
      .init("init", .string(initialization.rawValue)),
      .init("targets", .optional(targets, JSONValue.patterns)),
      .init("ignore", .patterns(ignore)),
      .init("seed", .seed(seed)),
    ] + initializationMembers + AdapterSource.members(nil)
  }

  private var initializationMembers: [JSONValue.Member] {
    var members: [JSONValue.Member] = []
    if initialization.usesText {
      members += [
        .init("text", .optional(text) { .recipeText($0.written) }),
        .init("samples", .integer(samples)),
        .init("length", .integer(length)),
      ]
    }
    if initialization == .loftq { members.append(.init("iterations", .integer(iterations))) }
    if initialization.usesTeacher {
      members.append(.init("teacher", .optional(teacher) { .recipeText($0.written) }))
    }
    if initialization == .atc {
      members += [.init("eta", .double(eta)), .init("tau", .double(tau))]
    }
    return members
  }
}
