import Checkpoints

extension MergeOptions {
  static let keys = ["requantize", "tables"] + AdapterSource.keys

  /// Reads the options of a recipe's `merge`.
  init(reading reader: RecipeReader) throws {
    let map = try reader.map(keys: Self.keys)
    self.init()
    requantize = try map.value("requantize", default: requantize) { try $0.flag() }
    tables = try map.optional("tables") { try $0.tableType() }
    adapter = try AdapterSource.read(map)
  }

  /// Every option by its key.
  var members: [JSONValue.Member] {
    [
      .init("requantize", .bool(requantize)),
      .init("tables", .optional(tables) { .string($0.recipeWord) }),
    ] + AdapterSource.members(adapter)
  }
}
