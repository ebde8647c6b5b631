import Checkpoints

extension RotateOptions {
  static let keys = ["parts", "seed", "dtype"]

  /// Reads the options of a recipe's `rotate`.
  init(reading reader: RecipeReader) throws {
    let map = try reader.map(keys: Self.keys)
    self.init()
    parts = try map.value("parts", default: parts) { try $0.choices(elseDoing: "rotates nothing") }
    seed = try map.value("seed", default: seed) { try $0.seed() }
    dtype = try map.optional("dtype") { try $0.tableType() }
  }

  /// Every option by its key.
  var members: [JSONValue.Member] {
    [
      .init("parts", .array(parts.map { .string($0.rawValue) })),
      .init("seed", .seed(seed)),
      .init("dtype", .optional(dtype) { .string($0.recipeWord) }),
    ]
  }
}
