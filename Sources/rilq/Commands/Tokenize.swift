import ArgumentParser
import Checkpoints
import Foundation
import Models

/// `rilq tokenize`: converts text to tokens and back.
struct Tokenize: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Print the tokens of a text, or the text of tokens.",
    discussion: """
      Each line has a token's id, a tab, and the token as tokenizer.json or tokenizer.model writes it. Special \
      tokens in the text are recognized; none are added.
      """)

  @Argument(
    help:
      """
      A checkpoint: a folder, a .safetensors, .rilq or .gguf file; or a tokenizer.json or tokenizer.model, or a \
      folder with one alone.
      """)
  var path: String

  @Option(help: "The text, UTF-8, or with --decode token ids; - reads standard input.")
  var text: String

  @Flag(help: "Print only the number of tokens.")
  var count = false

  @Flag(help: "Print the text of token ids separated by white space.")
  var decode = false

  @OptionGroup
  var global: GlobalOptions

  func validate() throws {
    if count, decode { throw ValidationError("--count and --decode exclude each other") }
  }

  func run() throws {
    _ = global.start()
    let tokenizer = try Tokenizer(openedAt: path, access: global.access)
    let input = try TextInput(text)
    let ids = decode ? try input.tokens(of: tokenizer) : try tokenizer.encode(input.bytes, path: input.name)
    if count {
      global.show(.object([.init("count", .integer(ids.count))]), text: "\(ids.count)")
    } else if decode, !global.json {
      Terminal.show(tokenizer.decode(ids))
    } else {
      let pieces = ids.map { tokenizer.token($0) ?? "" }
      var document = JSONValue.object([
        .init("ids", .array(ids.map { .integer(Int($0)) })),
        .init("pieces", .array(pieces.map { .string($0) })),
        .init("count", .integer(ids.count)),
      ])
      if decode { document.set("text", to: .string(tokenizer.decode(ids))) }
      let lines = zip(ids, pieces).map { "\($0)\t\($1.escapedForDisplay)\n" }
      if global.json { print(document.prettyText) } else { print(lines.joined(), terminator: "") }
    }
  }
}

/// The contents of a file or of standard input.
private struct TextInput {
  /// The name for errors.
  let name: String
  let bytes: [UInt8]

  init(_ path: String) throws {
    guard path == "-" else {
      (name, bytes) = (path, try InputFile.contents(of: path))
      return
    }
    name = "standard input"
    do {
      bytes = Array(try FileHandle.standardInput.readToEnd() ?? Data())
    } catch {
      throw FormatError(name, .system("cannot be read"))
    }
  }

  /// Parses token ids from the text.
  ///
  /// - Throws: `FormatError` with the byte offset where the text has no valid token id.
  func tokens(of tokenizer: Tokenizer) throws -> [Int32] {
    let spaces = Set(" \t\r\n\u{B}\u{C}".utf8)
    return try bytes.indices.split(whereSeparator: { spaces.contains(bytes[$0]) }).map { word in
      let text = String(decoding: bytes[word.startIndex..<word.endIndex], as: UTF8.self)
      guard let id = Int32(text) else {
        throw FormatError(name, byte: word.startIndex, .malformed("'\(text)' is not the number of a token"))
      }
      guard tokenizer.token(id) != nil else {
        throw FormatError(name, byte: word.startIndex, .malformed("there is no token \(id)"))
      }
      return id
    }
  }
}
