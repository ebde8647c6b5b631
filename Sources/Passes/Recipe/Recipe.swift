package import Checkpoints

/// A conversion: an input, the passes to run, and an output.
///
/// `Formats/recipe.md` specifies the keys, their types and ranges.
public struct Recipe: Sendable, Equatable {
  /// A variable, used as `${name}`, and its value.
  public struct Variable: Sendable, Equatable {
    /// The value of a variable.
    public enum Value: Sendable, Equatable {
      /// A scalar.
      case text(String)
      /// A list of scalars, which can only replace a whole value.
      case list([String])
    }

    /// The name.
    public let name: String
    /// The value: the recipe's default, or its replacement.
    public let value: Value

    /// Creates a variable.
    public init(name: String, value: Value) {
      self.name = name
      self.value = value
    }

    /// Creates a variable with a scalar.
    public init(name: String, value: String) { self.init(name: name, value: .text(value)) }
  }

  static let keys = ["input", "output", "to", "variables", "passes"]

  /// The checkpoint to read.
  public let input: PathOption
  /// The file or folder to write.
  public let output: PathOption
  /// The format of the output.
  public let outputFormat: OutputFormat
  /// The variables, in the order of the recipe.
  public let variables: [Variable]
  /// The passes, in the order they run.
  public let passes: [PassOptions]

  /// Creates a recipe.
  ///
  /// - Parameters:
  ///   - input: The checkpoint to read.
  ///   - output: The file or folder to write.
  ///   - outputFormat: The format of the output; nil infers it from the output's name.
  ///   - variables: The variables that were filled in.
  ///   - passes: The passes; defaults that depend on earlier passes are filled in, such as `against` of
  ///     `verify`.
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

  /// The folders of the adapters that the passes read.
  var adapterPaths: [String] { passes.flatMap { $0.paths(.adapter) } }
}

/// The format of a recipe's output.
public enum OutputFormat: String, Sendable, CaseIterable {
  /// The packed container, a single file.
  case rilq
  /// A folder that Hugging Face tools load.
  case safetensors
  /// A folder that MLX loads.
  case mlx
  /// A file that llama.cpp loads.
  case gguf
  /// A GPTQ folder with zero points stored minus one.
  case gptq
  /// A GPTQ folder with zero points stored as they are.
  case gptqV2 = "gptq_v2"
  /// An AutoRound folder.
  case autoRound = "autoround"
  /// A compressed-tensors folder, `pack-quantized`.
  case compressedTensors = "compressed-tensors"

  /// This format with integer zero points, or nil for other formats.
  package var integerFormat: IntegerFormat? { IntegerFormat(rawValue: rawValue) }

  /// Infers the format from a name: by its extension `.rilq` or `.gguf`, otherwise a safetensors folder.
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
