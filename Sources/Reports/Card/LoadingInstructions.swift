/// The commands with which runtimes load an output.
package struct LoadingInstructions: Sendable {
  /// A runtime and what to run.
  package struct Entry: Sendable {
    /// The runtime, with what it needs.
    package let runtime: String
    /// One or several lines.
    package let commands: String
  }

  /// The runtimes, the most usual one first; empty when the format is not known.
  package let entries: [Entry]

  /// The bits per weight above which weights are not packed.
  private static let packedBits = 10.0

  /// Chooses the runtimes of a result's format.
  package init(of result: ConversionResult) {
    let path = result.output.quotedForShell
    let rilq = Entry(runtime: "rilq", commands: "rilq generate \(path) --prompt 'Once upon a time'")
    switch result.format {
    case "rilq": entries = [rilq]
    case "gguf": entries = Self.llama(path, file: result.name) + [rilq]
    case "mlx":
      entries = [
        Entry(
          runtime: "MLX, with mlx-lm",
          commands: "mlx_lm.generate --model \(path) --prompt 'Once upon a time'"), rilq,
      ]
    case "gptq", "gptq_v2":
      entries = [Self.transformers("GPTQModel", result.output), rilq]
    case "autoround": entries = [Self.transformers("auto-round", result.output), rilq]
    case "compressed-tensors":
      entries = [
        Entry(runtime: "vLLM", commands: "vllm serve \(path)"),
        // It does not load zero points; see Formats/compressed-tensors.md.
        Self.transformers("compressed-tensors", result.output, ", for symmetric grids"), rilq,
      ]
    case "safetensors":
      let isPacked = result.bitsPerWeight.map { $0 < Self.packedBits } ?? true
      entries = isPacked ? [rilq] : [Self.transformers(nil, result.output), rilq]
    default: entries = []
    }
  }

  private static func llama(_ path: String, file: String) -> [Entry] {
    [
      Entry(runtime: "llama.cpp", commands: "llama-cli -m \(path) -p 'Once upon a time'"),
      Entry(
        runtime: "Ollama",
        commands: """
          printf 'FROM %s\\n' \("./\(file)".quotedForShell) >Modelfile
          ollama create my-model -f Modelfile
          ollama run my-model
          """),
    ]
  }

  private static func transformers(_ package: String?, _ path: String, _ limit: String = "") -> Entry {
    Entry(
      runtime: "transformers" + (package.map { ", with \($0) installed" } ?? "") + limit,
      commands: """
        from transformers import AutoModelForCausalLM, AutoTokenizer
        path = \(path.quotedForPython)
        model = AutoModelForCausalLM.from_pretrained(path, device_map="auto")
        tokenizer = AutoTokenizer.from_pretrained(path)
        """)
  }
}

extension String {
  /// The text as one word of a shell, quoted where it has to be.
  fileprivate var quotedForShell: String {
    let isPlain = utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"):
        true
      default: "/._-+,@%".utf8.contains(byte)
      }
    }
    return isPlain && !isEmpty ? self : "'" + replacing("'", with: "'\\''") + "'"
  }

  /// The text as a literal of Python.
  fileprivate var quotedForPython: String {
    "\"" + replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n") + "\""
  }
}
