import Checkpoints

/// The bits and group size of some modules, where they differ from the others'.
public struct QuantizeOverride: Sendable, Equatable {
  /// The patterns of the modules, at least one.
  public var targets: [ModulePattern]
  /// The number of bits per code, one of `QuantizeOptions.allowedBits`; nil keeps the default.
  public var bits: Int?
  /// The number of columns that share a scale and a bias, one of `QuantizeOptions.allowedGroupSizes`; nil
  /// keeps the default.
  public var groupSize: Int?

  /// Gives modules a number of bits, a group size, or both.
  public init(targets: [ModulePattern], bits: Int? = nil, groupSize: Int? = nil) {
    self.targets = targets
    self.bits = bits
    self.groupSize = groupSize
  }
}

extension QuantizeOverride {
  private static let keys = ["targets", "bits", "group_size"]

  /// Reads an entry of a recipe's `overrides`.
  init(reading reader: RecipeReader) throws {
    let map = try reader.map(keys: Self.keys)
    targets = try map.required("targets").targets()
    bits = try map.optional("bits") { try $0.integer(among: QuantizeOptions.allowedBits) }
    groupSize = try map.optional("group_size") { try $0.integer(among: QuantizeOptions.allowedGroupSizes) }
    guard bits != nil || groupSize != nil else {
      throw reader.failure("gives neither 'bits' nor 'group_size'")
    }
  }

  var json: JSONValue {
    .object([
      .init("targets", .patterns(targets)), .init("bits", .optional(bits, JSONValue.integer)),
      .init("group_size", .optional(groupSize, JSONValue.integer)),
    ])
  }
}

extension OptionKind<[QuantizeOverride]> {
  /// The `overrides` of a recipe.
  static var overrides: Self {
    Self("list of maps with `targets` and `bits`, `group_size` or both", flag: nil) {
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
  /// - Parameter modules: The names of all selected modules.
  /// - Returns: Bits and group size of every module, in the same order.
  /// - Throws: `PassError.unmatchedPattern` for an override's pattern that matches none of the modules.
  func parameters(
    of modules: [String]
  ) throws -> [ModuleParameters] {
    var bits = [Int?](repeating: nil, count: modules.count)
    var groupSizes = bits
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
        }
      }
    }
    return modules.indices.map { index in
      let parameters = QuantizedLayout(
        bits: bits[index] ?? self.bits, groupSize: groupSizes[index] ?? groupSize)
      return ModuleParameters(
        module: modules[index], parameters: parameters, hasOwnBits: bits[index] != nil)
    }
  }
}
