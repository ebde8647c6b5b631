import ArgumentParser
import Checkpoints
import Models

/// `rilq inspect`: what is in a checkpoint, from headers alone.
struct Inspect: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Show what is in a checkpoint, from headers alone.")

  @Argument(help: "The checkpoint: a folder, a .safetensors or a .rilq file.")
  var path: String

  @OptionGroup
  var global: GlobalOptions

  func run() throws {
    let checkpoint = try Checkpoint.open(path: path)
    let document = checkpoint.json
    global.show(document, text: document.prettyText)
  }
}

extension Checkpoint {
  /// The keys that other programs rely on.
  fileprivate var json: JSONValue {
    let list = contents.tensors.map { tensor in
      var entry = JSONValue.object([
        JSONValue.Member("name", .string(tensor.name)), JSONValue.Member("dtype", .string(tensor.dtype.rawValue)),
        JSONValue.Member("shape", .array(tensor.shape.map(JSONValue.integer))),
        JSONValue.Member("bytes", .integer(tensor.byteCount)),
      ])
      if tensor.name.hasSuffix(".weight"),
        let parameters = contents.quantization[String(tensor.name.dropLast(".weight".count))]
      {
        entry.set("bits", to: .integer(parameters.bits))
        entry.set("group_size", to: .integer(parameters.groupSize))
      }
      return entry
    }
    return .object([
      JSONValue.Member("format", .string(format.rawValue)),
      JSONValue.Member("parameters", .integer(contents.parameterCount)),
      JSONValue.Member("bytes", .integer(contents.byteCount)),
      JSONValue.Member("bits_per_weight", .double(contents.bitsPerWeight)),
      JSONValue.Member("metadata", contents.metadata), JSONValue.Member("tensors", .array(list)),
    ])
  }
}
