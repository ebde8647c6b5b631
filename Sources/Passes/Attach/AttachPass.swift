package import Checkpoints
import Foundation
import Kernels
import Models

/// Puts an adapter that changes nothing yet beside linears: A random, B zero.
package struct AttachPass: Pass {
  private let options: AttachOptions

  /// Takes options that name no adapter; those that do are for `PeftAttachPass`.
  package init(_ options: AttachOptions) { self.options = options }

  package var name: String { "attach" }

  package func plan(_ input: Checkpoint) throws -> PassPlan {
    guard input.contents.adapter == nil else {
      throw PassError.usage("\(input.path): has an adapter already; merge it before attaching another")
    }
    var editor = ContentsEditor(input.contents)
    let candidates = ModuleDescription.matrices(of: input.contents)
    let modules = try ModuleSelection(targets: options.targets, ignore: options.ignore).select(
      from: candidates)
    try Self.checkTrainable(modules, among: candidates)
    for module in modules {
      let tensors = try adapterTensors(module, in: input)
      editor.add(
        tensors, behind: Self.lastTensor(of: module, in: input.contents), module: module,
        action: "\(options.kind.rawValue) adapter, rank \(options.rank)")
    }
    editor.update {
      $0.adapter = AdapterParameters(kind: options.kind, rank: options.rank, alpha: options.alpha)
    }
    return editor.plan(memory: 0)
  }

  /// Refuses modules that calibration would not train: an adapter that nothing trains does nothing.
  static func checkTrainable(_ modules: [String], among candidates: [ModuleDescription]) throws {
    let linears = Set(candidates.filter(\.isLayerLinear).map(\.name))
    guard let module = modules.first(where: { !linears.contains($0) }) else { return }
    throw PassError.usage("module '\(module)': adapters are attached to the linears of layers only")
  }

  package func run(
    _ input: Checkpoint, into writer: any CheckpointWriter, _ context: PassContext
  ) throws -> JSONValue {
    let plan = try plan(input)
    var parameterCount = 0
    try writeTensors(of: plan.contents, from: input, into: writer) { tensor in
      guard input.tensor(named: tensor.name) == nil else { return nil }
      parameterCount += tensor.elementCount
      let values =
        tensor.name.hasSuffix(".lora_A.weight")
        ? initialA(tensor) : [Float](repeating: 0, count: tensor.elementCount)
      return TensorBytes(narrowed(values, to: .f32))
    }
    return .object([
      JSONValue.Member("modules", .integer(plan.changes.count)),
      JSONValue.Member("parameters", .integer(parameterCount)),
    ])
  }

  /// The tensor that stands last among those of a module's weight.
  static func lastTensor(of module: String, in contents: CheckpointContents) -> String {
    module + (contents.quantization[module] == nil ? ".weight" : ".biases")
  }

  private func adapterTensors(_ module: String, in input: Checkpoint) throws -> [TensorInfo] {
    guard let weight = input.tensor(named: module + ".weight") else {
      throw FormatError(input.path, .missing("tensor '\(module).weight'"))
    }
    let quantization = input.contents.quantization[module]
    var columns = weight.shape[1]
    if let quantization { columns = columns * 32 / quantization.bits }
    if options.kind == .pooled {
      guard let quantization else {
        throw PassError.usage(
          "module '\(module)': a pooled adapter needs a quantized weight, this one is dense")
      }
      columns /= quantization.groupSize
    }
    return [
      TensorInfo(name: module + ".lora_A.weight", dtype: .f32, shape: [options.rank, columns]),
      TensorInfo(name: module + ".lora_B.weight", dtype: .f32, shape: [weight.shape[0], options.rank]),
    ]
  }

  /// Normal values with deviation `1 / rank`, from the seed and the tensor's name alone.
  ///
  /// Source: PEFT's "gaussian" initialisation, which RILQ uses.
  private func initialA(_ tensor: TensorInfo) -> [Float] {
    var random = NormalGenerator(seed: options.seed, name: tensor.name)
    let deviation = 1 / Double(options.rank)
    return (0..<tensor.elementCount).map { _ in Float(random.next() * deviation) }
  }
}

/// Standard normal numbers by the Box-Muller method over SplitMix64.
struct NormalGenerator {
  private var state: UInt64
  private var spare: Double?

  /// Starts a sequence of its own for each name.
  init(seed: UInt64, name: String) {
    // FNV-1a, so that a tensor's values do not depend on which others there are.
    state = name.utf8.reduce(0xCBF2_9CE4_8422_2325 ^ seed) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
  }

  mutating func next() -> Double {
    if let value = spare {
      spare = nil
      return value
    }
    let radius = (-2 * log(uniform())).squareRoot()
    let angle = 2 * Double.pi * uniform()
    spare = radius * sin(angle)
    return radius * cos(angle)
  }

  /// A number in `(0, 1]`.
  private mutating func uniform() -> Double {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return (Double((z ^ (z >> 31)) >> 11) + 1) * 0x1p-53
  }
}
