/// The `quantization_config` of a folder that is written.
struct IntegerConfigurationBlock {
  let format: IntegerFormat
  /// The quantized modules, sorted by name, at least one.
  let modules: [IntegerWritingPlan.Module]
  /// All tensors before packing.
  let tensors: [TensorInfo]

  /// The settings that a group of modules shares.
  private struct Scheme: Hashable {
    let bits: Int
    let groupSize: Int
    let isSymmetric: Bool

    init(_ module: IntegerWritingPlan.Module) {
      (bits, groupSize, isSymmetric) = (module.bits, module.groupSize, module.isSymmetric)
    }

    func precedes(_ other: Scheme) -> Bool {
      (bits, groupSize, isSymmetric ? 0 : 1) < (other.bits, other.groupSize, other.isSymmetric ? 0 : 1)
    }
  }

  /// The block as the format's own tools write it.
  var json: JSONValue {
    switch format {
    case .gptq, .gptqV2: gptq
    case .autoRound: autoRound
    case .compressedTensors: compressedTensors
    }
  }

  /// The scheme of most modules.
  private var common: Scheme {
    var counts: [Scheme: Int] = [:]
    for module in modules { counts[Scheme(module), default: 0] += 1 }
    let ranked = counts.sorted { $0.value != $1.value ? $0.value > $1.value : $0.key.precedes($1.key) }
    guard let first = ranked.first else { preconditionFailure("no quantized module") }
    return first.key
  }

  /// The modules with a matrix that is not quantized: linears, embeddings, and the output head, which may
  /// share the embedding's matrix.
  private var unquantized: [String] {
    let quantized = Set(modules.map(\.name))
    var names = Set(
      tensors.compactMap { tensor in
        tensor.shape.count == 2 && tensor.dtype.isWeight ? ModuleTensor.weight.module(of: tensor.name) : nil
      })
    names.insert("lm_head")
    return names.subtracting(quantized).sorted(by: precedes)
  }

  private var isHeadQuantized: Bool { modules.contains { $0.name == "lm_head" } }

  /// An expression that matches one name.
  private static func expression(_ name: String) -> String { "^" + name.replacing(".", with: "\\.") + "$" }

  private static func members(_ scheme: Scheme) -> [JSONValue.Member] {
    [
      JSONValue.Member("bits", .integer(scheme.bits)),
      JSONValue.Member("group_size", .integer(scheme.groupSize)),
      JSONValue.Member("sym", .bool(scheme.isSymmetric)),
    ]
  }
}

extension IntegerConfigurationBlock {
  private var gptq: JSONValue {
    let common = common
    var dynamic: [JSONValue.Member] = modules.filter { Scheme($0) != common }.map {
      JSONValue.Member("+:" + Self.expression($0.name), .object(Self.members(Scheme($0))))
    }
    dynamic += unquantized.filter { $0 != "lm_head" }.map {
      JSONValue.Member("-:" + Self.expression($0), .object([]))
    }
    var members = Self.members(common)
    members += [
      JSONValue.Member("desc_act", .bool(false)), JSONValue.Member("lm_head", .bool(isHeadQuantized)),
      JSONValue.Member("quant_method", .string("gptq")), JSONValue.Member("method", .string("gptq")),
      JSONValue.Member("format", .string(format.rawValue)),
      JSONValue.Member("checkpoint_format", .string(format.rawValue)),
      JSONValue.Member("pack_dtype", .string("int32")),
    ]
    if !dynamic.isEmpty { members.append(JSONValue.Member("dynamic", .object(dynamic))) }
    return .object(members)
  }

  private var autoRound: JSONValue {
    let common = common
    let isSymmetric = modules.allSatisfy(\.isSymmetric)
    var extra: [JSONValue.Member] = modules.filter { Scheme($0) != common }.map {
      JSONValue.Member(
        $0.name, .object(Self.members(Scheme($0)) + [JSONValue.Member("data_type", .string("int"))]))
    }
    extra += unquantized.map {
      JSONValue.Member(
        $0,
        .object([JSONValue.Member("bits", .integer(16)), JSONValue.Member("data_type", .string("float"))]))
    }
    var members = Self.members(common)
    members += [
      JSONValue.Member("data_type", .string("int")), JSONValue.Member("quant_method", .string("auto-round")),
      JSONValue.Member("packing_format", .string(isSymmetric ? "auto_round:auto_gptq" : "auto_round")),
      JSONValue.Member("extra_config", .object(extra)),
    ]
    return .object(members)
  }

  private var compressedTensors: JSONValue {
    let common = common
    // Embeddings are not linears, so they are named, wherever their packing comes from.
    let isNamed = { (module: IntegerWritingPlan.Module) in
      Scheme(module) != common || ModuleTensor.isEmbedding(module.name)
    }
    var groups: [(scheme: Scheme, targets: [String])] = []
    if !modules.allSatisfy(isNamed) { groups.append((common, ["Linear"])) }
    let named = Dictionary(grouping: modules.filter(isNamed), by: Scheme.init)
    for scheme in named.keys.sorted(by: { $0.precedes($1) }) {
      groups.append((scheme, named[scheme]?.map(\.name) ?? []))
    }
    let members = groups.enumerated().map { i, group in
      JSONValue.Member("group_\(i)", Self.group(group.scheme, targets: group.targets))
    }
    return .object([
      JSONValue.Member("quant_method", .string("compressed-tensors")),
      JSONValue.Member("format", .string("pack-quantized")),
      JSONValue.Member("quantization_status", .string("compressed")),
      JSONValue.Member("config_groups", .object(members)),
      JSONValue.Member("ignore", .array(unquantized.map(JSONValue.string))),
      JSONValue.Member("kv_cache_scheme", .null), JSONValue.Member("global_compression_ratio", .null),
    ])
  }

  private static func group(_ scheme: Scheme, targets: [String]) -> JSONValue {
    let weights = JSONValue.object([
      JSONValue.Member("num_bits", .integer(scheme.bits)), JSONValue.Member("type", .string("int")),
      JSONValue.Member("symmetric", .bool(scheme.isSymmetric)),
      JSONValue.Member("strategy", .string("group")),
      JSONValue.Member("group_size", .integer(scheme.groupSize)), JSONValue.Member("dynamic", .bool(false)),
      JSONValue.Member("actorder", .null), JSONValue.Member("block_structure", .null),
    ])
    return .object([
      JSONValue.Member("targets", .array(targets.map(JSONValue.string))),
      JSONValue.Member("weights", weights),
      JSONValue.Member("input_activations", .null), JSONValue.Member("output_activations", .null),
    ])
  }
}
