import Checkpoints

extension AttachOptions {
  static let keys = ["kind", "rank", "alpha", "targets", "ignore", "seed"] + AdapterSource.keys

  /// Reads the options of a recipe's `attach`.
  init(reading reader: RecipeReader) throws {
    let map = try reader.map(keys: Self.keys)
    self.init()
    kind = try map.value("kind", default: kind) { try $0.choice() }
    rank = try map.value("rank", default: rank) { try $0.integer(in: 1...Self.rankLimit) }
    alpha = try map.value("alpha", default: alpha) { try $0.number(.above(0)) }
    targets = try map.optional("targets") { try $0.targets() }
    ignore = try map.value("ignore", default: ignore) { try $0.patterns() }
    seed = try map.value("seed", default: seed) { try $0.seed() }
    adapter = try AdapterSource.read(map)
    guard adapter != nil,
      let other = map.members.first(where: { !AdapterSource.keys.contains($0.name) })
    else { return }
    throw PassError.recipe(other.keyPlace, "does not go with 'adapter', which has its own")
  }

  /// Every option by its key; those of the adapter alone when one is taken.
  var members: [JSONValue.Member] {
    guard adapter == nil else { return AdapterSource.members(adapter) }
    return [
      .init("kind", .string(kind.rawValue)),
      .init("rank", .integer(rank)),
      .init("alpha", .double(alpha)),
      .init("targets", .optional(targets, JSONValue.patterns)),
      .init("ignore", .patterns(ignore)),
      .init("seed", .seed(seed)),
    ] + AdapterSource.members(nil)
  }
}
