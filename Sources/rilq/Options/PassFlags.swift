import ArgumentParser
import Passes

/// The flags of a pass, one per declared option, with the same rules as in recipes.
///
/// ArgumentParser finds flags by reflection and reads values by decoding; both follow the declarations here.
struct PassFlags<P: Pass>: ParsableArguments, CustomReflectable {
  /// The given flags, as keys of a recipe.
  let given: [PassFlag]
  /// The file that gets one line per update, if the pass writes a log.
  let log: String?

  init() {
    given = []
    log = nil
  }

  init(from decoder: any Decoder) throws {
    let values = try decoder.container(keyedBy: Key.self)
    given = try P.Options.declarations.compactMap { option in
      let key = Key(stringValue: option.key)
      switch option.flag {
      case .value:
        return try values.decodeIfPresent(String.self, forKey: key).map { PassFlag(option.key, $0) }
      case .list:
        return try values.given([String].self, key).map { PassFlag(option.key, list: $0) }
      case .map: return try values.given([String].self, key).map { PassFlag(option.key, map: $0) }
      case .toggle:
        return try values.decodeIfPresent(Bool.self, forKey: key) == true ? PassFlag(option.key, "true") : nil
      case nil: return nil
      }
    }
    log = P.writesLog ? try values.decodeIfPresent(String.self, forKey: .log) : nil
  }

  var customMirror: Mirror {
    var children = P.Options.declarations.compactMap { option -> Mirror.Child? in
      option.argument.map { (option.key, $0) }
    }
    if P.writesLog {
      let help: ArgumentHelp = "Write one JSON object per update to a file (JSON Lines)."
      children.append((Key.log.stringValue, Option<String?>(name: .customLong("log"), help: help)))
    }
    return Mirror(self, children: children, displayStyle: .struct)
  }

  /// The coding key of an option.
  fileprivate struct Key: CodingKey {
    static var log: Key { Key(stringValue: "log") }
    let stringValue: String
    var intValue: Int? { nil }

    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }
}

extension KeyedDecodingContainer {
  /// Returns the values of a repeatable flag; nil when it is not given.
  fileprivate func given(_ type: [String].Type, _ key: Key) throws -> [String]? {
    let values = try decodeIfPresent(type, forKey: key) ?? []
    return values.isEmpty ? nil : values
  }
}

extension PassOption where Options: PassOptionValues {
  /// The flag for ArgumentParser; nil when only recipes can set the option.
  fileprivate var argument: Any? {
    let name = NameSpecification([.customLong(flagName)])
    switch flag {
    case .value: return Option<String?>(name: name, help: ArgumentHelp(flagHelp))
    case .list(let repeated):
      return Option<[String]>(
        wrappedValue: [], name: name, parsing: repeated ? .singleValue : .upToNextOption,
        help: ArgumentHelp(flagHelp))
    case .map(let entry):
      return Option<[String]>(
        wrappedValue: [], name: name, parsing: .upToNextOption,
        help: ArgumentHelp(flagHelp, valueName: entry))
    case .toggle: return Flag(wrappedValue: false, name: name, help: ArgumentHelp(flagHelp))
    case nil: return nil
    }
  }
}
