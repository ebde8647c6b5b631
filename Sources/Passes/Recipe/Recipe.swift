package import Checkpoints

/// What to make: an input, the passes it goes through, an output.
///
/// The keys, their types and ranges are specified in `Formats/recipe.md`.
public struct Recipe: Sendable, Equatable {
  /// A name that `${name}` stands for, and its value.
  public struct Variable: Sendable, Equatable {
    /// What a name stands for.
    public enum Value: Sendable, Equatable {
      /// A scalar.
      case text(String)
      /// A list of scalars, which stands for a whole value only.
      case list([String])
    }

    /// The name.
    public let name: String
    /// The default of the recipe, or what replaced it.
    public let value: Value

    /// Gives a name a value.
    public init(name: String, value: Value) {
      self.name = name
      self.value = value
    }

    /// Gives a name a scalar.
    public init(name: String, value: String) { self.init(name: name, value: .text(value)) }
  }

  static let keys = ["input", "output", "to", "variables", "passes"]

  /// The checkpoint to read.
  public let input: PathOption
  /// The file or folder to write.
  public let output: PathOption
  /// What is written.
  public let outputFormat: OutputFormat
  /// The values that were filled in, in the order of the recipe.
  public let variables: [Variable]
  /// The passes, in the order they run.
  public let passes: [PassOptions]

  /// Puts a recipe together.
  ///
  /// - Parameters:
  ///   - input: The checkpoint to read.
  ///   - output: The file or folder to write.
  ///   - outputFormat: What to write; nil goes by the name of the output.
  ///   - variables: The values that were filled in.
  ///   - passes: The passes; defaults that depend on earlier passes are filled in, as what a `verify` compares with.
  public init(
    input: PathOption, output: PathOption, outputFormat: OutputFormat? = nil, variables: [Variable] = [],
    passes: [PassOptions]
  ) {
    self.input = input
    self.output = output
    self.outputFormat = outputFormat ?? OutputFormat(inferredFrom: output.written)
    self.variables = variables
    self.passes = passes.reduce(into: []) { $0.append($1.resolved(after: $0)) }
  }

  /// The folders of the adapters that passes read.
  var adapterPaths: [String] { passes.flatMap { $0.paths(.adapter) } }
}

/// What a recipe writes.
public enum OutputFormat: String, Sendable, CaseIterable {
  /// The packed container, one file.
  case rilq
  /// A folder that Hugging Face tools load.
  case safetensors
  /// A folder that MLX loads.
  case mlx
  /// A file that llama.cpp loads.
  case gguf
  /// A folder of GPTQ, zero points stored minus one.
  case gptq
  /// A folder of GPTQ, zero points stored as they are.
  case gptqV2 = "gptq_v2"
  /// A folder of AutoRound.
  case autoRound = "autoround"
  /// A folder of compressed-tensors, `pack-quantized`.
  case compressedTensors = "compressed-tensors"

  /// The format with integer zero points that this is, or nil for every other one.
  package var integerFormat: IntegerFormat? { IntegerFormat(rawValue: rawValue) }

  /// The format that a name suggests: by its extension `.rilq` or `.gguf`, otherwise a safetensors folder.
  public init(inferredFrom path: String) {
    if path.hasSuffix(".rilq") {
      self = .rilq
    } else if path.hasSuffix(".gguf") {
      self = .gguf
    } else {
      self = .safetensors
    }
  }
}
