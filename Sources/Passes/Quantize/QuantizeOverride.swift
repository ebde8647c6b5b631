import Checkpoints

/// The bits and group size, or the grid, of some modules, where they differ from the others'.
public struct QuantizeOverride: Sendable, Equatable {
  /// The patterns of the modules, at least one.
  public var targets: [ModulePattern]
  /// The number of bits per code, one of `QuantizeOptions.allowedBits`; nil keeps the default.
  public var bits: Int?
  /// The number of columns that share a scale and a bias, one of `QuantizeOptions.allowedGroupSizes`; nil
  /// keeps the default.
  public var groupSize: Int?
  /// The grid; nil keeps the default, except that bits or a group size take a module off super-blocks.
  public var grid: QuantizeGrid?

  /// Gives modules a number of bits, a group size, or both, or a grid.
  public init(
    targets: [ModulePattern], bits: Int? = nil, groupSize: Int? = nil, grid: QuantizeGrid? = nil
  ) {
    self.grid = grid
    self.targets = targets
    self.bits = bits
    self.groupSize = groupSize
  }
}

extension QuantizeOverride {
  private static let keys = ["targets", "bits", "group_size", "grid"]

  /// Reads an entry of a recipe's `overrides`.
  init(reading reader: RecipeReader) throws {
    let map = try reader.map(keys: Self.keys)
    targets = try map.required("targets").targets()
    bits = try map.optional("bits") { try $0.integer(among: QuantizeOptions.allowedBits) }
    groupSize = try map.optional("group_size") { try $0.integer(among: QuantizeOptions.allowedGroupSizes) }
    grid = try map.optional("grid") { try $0.choice() }
    guard bits != nil || groupSize != nil || grid != nil else {
      throw reader.failure("gives none of 'bits', 'group_size' and 'grid'")
    }
    if let grid, grid.superBlock != nil, bits != nil || groupSize != nil {
      throw reader.failure(
        "gives 'bits' or 'group_size' beside the grid '\(grid.rawValue)', which has its own")
    }
  }

  var json: JSONValue {
    .object([
      .init("targets", .patterns(targets)), .init("bits", .optional(bits, JSONValue.integer)),
      .init("group_size", .optional(groupSize, JSONValue.integer)),
      .init("grid", .optional(grid) { .string($0.rawValue) }),
    ])
  }
}

extension OptionKind<[QuantizeOverride]> {
  /// The `overrides` of a recipe.
  static var overrides: Self {
    Self("list of maps with `targets` and any of `bits`, `group_size` and `grid`", flag: nil) {
      try $0.list(of: "overrides").map(QuantizeOverride.init)
    } write: {
      .array($0.map(\.json))
    }
  }
}

extension QuantizeOptions {
  /// The bits and group size of one module.
  struct ModuleParameters {
    let module: String
    let parameters: QuantizedLayout
    /// Whether an override sets the bits.
    let hasOwnBits: Bool
  }

  /// Returns the bits and group size of modules.
  ///
  /// - Parameters:
  ///   - modules: The names of all selected modules.
  ///   - outer: Those that are the embedding or the output head.
  /// - Returns: Bits and group size of every module, in the same order.
  /// - Throws: `PassError.unmatchedPattern` for an override's pattern that matches none of the modules.
  func parameters(
    of modules: [String], outer: Set<String> = []
  ) throws -> [ModuleParameters] {
    var bits = [Int?](repeating: nil, count: modules.count)
    var groupSizes = bits
    var grids = [QuantizeGrid?](repeating: nil, count: modules.count)
    for override in overrides {
      for pattern in override.targets {
        let matches = try pattern.matcher()
        let indices = modules.indices.filter { matches(modules[$0]) }
        guard !indices.isEmpty else {
          throw PassError.unmatchedPattern(
            pattern.text, at: pattern.place, nearest: pattern.nearest(among: modules))
        }
        for index in indices {
          bits[index] = override.bits ?? bits[index]
          groupSizes[index] = override.groupSize ?? groupSizes[index]
          let present = grids[index] ?? grid
          grids[index] = override.grid ?? (present.superBlock == nil ? present : .affine)
        }
      }
    }
    return modules.indices.map { index in
      if grids[index] == nil, outer.contains(modules[index]), let layout = embeddingLayout {
        return ModuleParameters(module: modules[index], parameters: layout, hasOwnBits: true)
      }
      let layout = (grids[index] ?? grid).layout(
        bits: bits[index] ?? self.bits, groupSize: groupSizes[index] ?? groupSize)
      return ModuleParameters(
        module: modules[index], parameters: layout,
        hasOwnBits: bits[index] != nil || grids[index]?.superBlock != nil)
    }
  }
}
