public import Checkpoints

/// One step of a recipe: a pass and its options.
public enum PassOptions: Sendable, Equatable {
  case rotate(RotateOptions)
  case quantize(QuantizeOptions)
  case attach(AttachOptions)
  case calibrate(CalibrateOptions)
  case merge(MergeOptions)
  case verify(VerifyOptions)

  /// The names of all passes.
  public static let names = ["rotate", "quantize", "attach", "calibrate", "merge", "verify"]

  /// The name of the pass, as in recipes and commands.
  public var name: String {
    switch self {
    case .rotate: "rotate"
    case .quantize: "quantize"
    case .attach: "attach"
    case .calibrate: "calibrate"
    case .merge: "merge"
    case .verify: "verify"
    }
  }

  /// Every option with its value, by its key in recipes.
  public var options: JSONValue {
    switch self {
    case .rotate(let options): .object(options.members)
    case .quantize(let options): .object(options.members)
    case .attach(let options): .object(options.members)
    case .calibrate(let options): .object(options.members)
    case .merge(let options): .object(options.members)
    case .verify(let options): .object(options.members)
    }
  }

  /// Reads an entry of `passes`: a map with the name of a pass as its only key.
  init(reading entry: RecipeReader, after previous: [PassOptions]) throws {
    let expected = "the name of a pass with its options: \(Self.names.alternatives())"
    let map = try entry.anyMap(of: expected)
    guard let pass = map.members.first, map.members.count == 1 else {
      throw entry.failure("has \(map.members.count) keys, expected \(expected)")
    }
    guard Self.names.contains(pass.name) else {
      throw PassError.recipe(pass.keyPlace, unknownName(pass.name, "pass", among: Self.names))
    }
    try self.init(name: pass.name, reading: pass.value, after: previous)
  }

  /// Reads the options of a pass; the name must be one of `names`.
  init(name: String, reading options: RecipeReader, after previous: [PassOptions]) throws {
    switch name {
    case "rotate": self = .rotate(try RotateOptions(reading: options))
    case "quantize": self = .quantize(try QuantizeOptions(reading: options))
    case "attach": self = .attach(try AttachOptions(reading: options))
    case "calibrate": self = .calibrate(try CalibrateOptions(reading: options))
    case "merge": self = .merge(try MergeOptions(reading: options))
    case "verify":
      self = .verify(try VerifyOptions(reading: options, isAfterMerge: previous.haveUnmergedState))
    default: preconditionFailure("there is no pass '\(name)'")
    }
  }
}
