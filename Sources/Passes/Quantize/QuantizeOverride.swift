import Checkpoints

/// Bits and group size of some modules, where they differ from all others'.
public struct QuantizeOverride: Sendable, Equatable {
  /// The modules, at least one pattern.
  public var targets: [ModulePattern]
  /// The width of a code, one of `QuantizeOptions.allowedBits`; nil leaves it.
  public var bits: Int?
  /// The columns that share a scale and a bias, one of `QuantizeOptions.allowedGroupSizes`; nil leaves it.
  public var groupSize: Int?

  /// Gives modules a width, a group size or both.
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
  /// Bits and group sizes of some modules.
  static var overrides: Self {
    Self("list of maps with `targets` and `bits`, `group_size` or both", flag: nil) {
      try $0.list(of: "overrides").map(QuantizeOverride.init)
    } write: {
      .array($0.map(\.json))
    }
  }
}

extension QuantizeOptions {
  /// What a module becomes.
  struct ModuleParameters {
    let module: String
    let parameters: QuantizationParameters
    /// Whether an override gives the bits.
    let hasOwnBits: Bool
  }

  /// What each of some modules becomes.
  ///
  /// - Parameter modules: Names, all selected.
  /// - Returns: Bits and group size of every module, in the same order.
  /// - Throws: `PassError.unmatchedPattern` for an override's pattern that none of the modules has.
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
      let parameters = QuantizationParameters(
        bits: bits[index] ?? self.bits, groupSize: groupSizes[index] ?? groupSize)
      return ModuleParameters(
        module: modules[index], parameters: parameters, hasOwnBits: bits[index] != nil)
    }
  }
}
