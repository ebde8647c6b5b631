/// The `quantization` object of a `config.json`, MLX's convention.
///
/// ```
/// "quantization": {"group_size": 64, "bits": 2, "mode": "affine",
///                  "model.layers.0.mlp.up_proj": {"group_size": 32, "bits": 4, "mode": "affine"},
///                  "lm_head": false}
/// ```
struct QuantizationConfiguration {
  /// The key in `config.json`, and the one that repeats it.
  static let keys = ["quantization", "quantization_config"]

  private var common: QuantizedLayout?
  /// The settings of single modules; nil means that the module is not quantized.
  private var overrides: [(module: String, parameters: QuantizedLayout?)] = []
  private let path: String

  /// Reads the object from a configuration.
  ///
  /// Nil when the configuration has none.
  ///
  /// - Parameters:
  ///   - configuration: The contents of `config.json`.
  ///   - path: The path of that file for errors.
  /// - Throws: `FormatError` with the key.
  init?(_ configuration: JSONValue, path: String) throws(FormatError) {
    guard let block = configuration["quantization"], !block.isNull else { return nil }
    guard let members = block.object else {
      throw FormatError(path, at: "key 'quantization'", .malformed("is not an object"))
    }
    self.path = path
    if block["group_size"] != nil || block["bits"] != nil || block["mode"] != nil {
      common = try Self.parameters(of: block, at: "key 'quantization'", path: path)
    }
    for member in members {
      switch member.value {
      case .object:
        let place = "key 'quantization': '\(member.key)'"
        overrides.append((member.key, try Self.parameters(of: member.value, at: place, path: path)))
      case .bool(false): overrides.append((member.key, nil))
      default: continue
      }
    }
  }

  private static func parameters(
    of object: JSONValue, at place: String, path: String
  ) throws(FormatError) -> QuantizedLayout {
    let grid = try grid(of: object, at: place, path: path)
    guard let bits = object["bits"]?.integer else {
      throw FormatError(path, at: place, .missing("integer 'bits'"))
    }
    guard let groupSize = object["group_size"]?.integer else {
      throw FormatError(path, at: place, .missing("integer 'group_size'"))
    }
    guard let grid, let layout = QuantizedLayout(grid: grid, bits: bits, groupSize: groupSize) else {
      return QuantizedLayout(bits: bits, groupSize: groupSize)
    }
    if let problem = layout.numbersProblem(bits: bits, groupSize: groupSize) {
      throw FormatError(path, at: place, .malformed(problem))
    }
    return layout
  }

  /// The name of the grid; nil for free tables.
  private static func grid(
    of object: JSONValue, at place: String, path: String
  ) throws(FormatError) -> String? {
    guard let mode = object["mode"], mode.string != "affine" else { return nil }
    guard let name = mode.string, QuantizedLayout.gridNames.contains(name) else {
      throw FormatError(
        path, at: place,
        .unsupportedKind("mode \(mode.compactText)", supported: ["affine"] + QuantizedLayout.gridNames))
    }
    return name
  }

  /// The quantized modules among some tensors: those with scales.
  ///
  /// - Throws: `FormatError` when a module has scales but should not, or lacks them.
  func modules(among tensors: [TensorInfo]) throws(FormatError) -> [String: QuantizedLayout] {
    let overrideByModule = Dictionary(overrides.map { ($0.module, $0.parameters) }, uniquingKeysWith: { $1 })
    var modules: [String: QuantizedLayout] = [:]
    for tensor in tensors {
      guard
        let module = ModuleTensor.scales.module(of: tensor.name)
          ?? ModuleTensor.blockSteps.module(of: tensor.name)
      else { continue }
      guard let parameters = overrideByModule[module] ?? common else {
        throw FormatError(
          path, at: "key 'quantization'", .malformed("leaves out module '\(module)', which has scales"))
      }
      modules[module] = parameters
    }
    for case (let module, let parameters?) in overrides where modules[module] == nil {
      throw FormatError(
        path, at: "key 'quantization': '\(module)'",
        .missing("tensor '\(parameters.partKinds[1].name(of: module))'"))
    }
    return modules
  }
}

extension JSONValue {
  /// A configuration without its description of quantization, which a checkpoint's contents state, too.
  package var withoutQuantization: JSONValue {
    guard case .object(let members) = self else { return self }
    return .object(members.filter { !QuantizationConfiguration.keys.contains($0.key) })
  }
}

extension CheckpointContents {
  /// Leaves out what files say about quantization that is undone when tensors are read.
  ///
  /// - Parameters:
  ///   - configuration: The contents of `config.json`; nil without one.
  ///   - repeating: The files that repeat it, which are no assets then.
  /// - Returns: The files with other contents, by name.
  mutating func leaveOutQuantization(
    of configuration: JSONValue?, repeating: Set<String>
  ) -> [String: TensorBytes] {
    let name = SafetensorsFolder.configurationName
    let text = configuration.map { Array(($0.withoutQuantization.prettyText + "\n").utf8) }
    assets = assets.compactMap { asset in
      if repeating.contains(asset.name) { return nil }
      guard asset.name == name, let text else { return asset }
      return Asset(name: name, byteCount: text.count)
    }
    return text.map { [name: TensorBytes($0)] } ?? [:]
  }
}

extension QuantizationConfiguration {
  /// The object that describes quantized modules, of which there is at least one.
  ///
  /// The layout of most modules is stated once; if several are equally frequent, it is the one with the
  /// fewest bits, then the smallest groups. Every other layout is stated by module, in the order of names.
  static func block(for modules: [String: QuantizedLayout]) -> JSONValue {
    let common = mostCommon(modules)
    var members = self.members(common)
    for module in modules.keys.sorted(by: precedes) {
      guard let parameters = modules[module], parameters != common else { continue }
      members.append(JSONValue.Member(module, .object(self.members(parameters))))
    }
    return .object(members)
  }

  private static func members(_ layout: QuantizedLayout) -> [JSONValue.Member] {
    [
      JSONValue.Member("group_size", .integer(layout.groupSize)),
      JSONValue.Member("bits", .integer(layout.bits)),
      JSONValue.Member("mode", .string(layout.gridName ?? "affine")),
    ]
  }

  private static func mostCommon(_ modules: [String: QuantizedLayout]) -> QuantizedLayout {
    var counts: [QuantizedLayout: Int] = [:]
    for layout in modules.values { counts[layout, default: 0] += 1 }
    let most = counts.min { first, second in
      (-first.value, first.key.bits, first.key.groupSize) < (
        -second.value, second.key.bits, second.key.groupSize
      )
    }
    guard let most else { preconditionFailure("no quantized module") }
    return most.key
  }

  /// A configuration that states which modules are quantized, or nil when the given one already does.
  ///
  /// All other keys keep their places, and numbers keep their text.
  static func rewrite(
    _ configuration: JSONValue, for modules: [String: QuantizedLayout]
  ) -> JSONValue? {
    var rewritten = configuration
    if modules.isEmpty {
      guard configuration["quantization"] != nil, case .object(let members) = configuration else {
        return nil
      }
      rewritten = .object(members.filter { !keys.contains($0.key) })
    } else {
      for key in keys { rewritten.set(key, to: block(for: modules)) }
    }
    return rewritten == configuration ? nil : rewritten
  }
}
