import Checkpoints

extension QuantizeOptions {
  static let keys = ["method", "bits", "group_size", "targets", "ignore", "tables"]

  /// Reads the options of a recipe's `quantize`.
  init(reading reader: RecipeReader) throws {
    let map = try reader.map(keys: Self.keys)
    self.init()
    method = try map.value("method", default: method) { try $0.choice() }
    bits = try map.value("bits", default: bits) { try $0.integer(among: Self.allowedBits) }
    groupSize = try map.value("group_size", default: groupSize) {
      try $0.integer(among: Self.allowedGroupSizes)
    }
    targets = try map.optional("targets") { try $0.targets() }
    ignore = try map.value("ignore", default: ignore) { try $0.patterns() }
    tables = try map.value("tables", default: tables) { try $0.tableType() }
  }

  /// Every option by its key.
  var members: [JSONValue.Member] {
    [
      .init("method", .string(method.rawValue)),
      .init("bits", .integer(bits)),
      .init("group_size", .integer(groupSize)),
      .init("targets", .optional(targets, JSONValue.patterns)),
      .init("ignore", .patterns(ignore)),
      .init("tables", .string(tables.recipeWord)),
    ]
  }
}
