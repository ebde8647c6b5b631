import Checkpoints
import Models

/// The readers of untrusted bytes, each as a function that takes any bytes.
///
/// A reader may refuse bytes; it must not crash, hang or ask for much memory. What it accepts must match its
/// description.
package enum FuzzTarget: String, CaseIterable, Sendable {
  case safetensors
  case container
  case gguf
  case json
  case jsonl
  case tokenizer
  case sentencepiece
  case adapter
  case integer
  case importance
  case recipe
  case log
  case journal
  case plan

  /// Reads bytes; returns whether they were accepted.
  @discardableResult
  package func read(_ bytes: [UInt8]) -> Bool {
    switch self {
    case .safetensors: Self.readSafetensors(bytes)
    case .container: Self.readContainer(bytes)
    case .gguf: Self.readGGUF(bytes)
    case .json: Self.readJSON(bytes)
    case .jsonl: Self.readJSONLines(bytes)
    case .tokenizer: Self.readTokenizer(bytes)
    case .sentencepiece: Self.readSentencePiece(bytes)
    case .adapter: Self.readAdapter(bytes)
    case .integer: Self.readInteger(bytes)
    case .importance: Self.readImportance(bytes)
    case .recipe: Self.readRecipe(bytes)
    case .log: Self.readLog(bytes)
    case .journal: Self.readJournal(bytes)
    case .plan: Self.readPlan(bytes)
    }
  }

  private static func readSafetensors(_ bytes: [UInt8]) -> Bool {
    let header: SafetensorsHeader
    do {
      header = try TensorBytes(bytes).withSpan { try SafetensorsHeader(parsing: $0, path: "") }
    } catch {
      return describe(error)
    }
    var end: Int?
    for entry in header.entries {
      precondition(entry.range.count == entry.tensor.byteCount, "\(entry)")
      precondition(end == nil || end == entry.range.lowerBound, "\(entry) does not follow byte \(end ?? 0)")
      end = entry.range.upperBound
    }
    precondition(end == nil || end == bytes.count, "\(bytes.count) bytes, tensors end at \(end ?? 0)")
    return true
  }

  /// Most bytes break a checksum, so a copy with correct checksums is read too.
  private static func readContainer(_ bytes: [UInt8]) -> Bool {
    var sealed = bytes
    ContainerSeal.seal(&sealed)
    let isAccepted = readWholeContainer(bytes)
    return (sealed == bytes ? false : readWholeContainer(sealed)) || isAccepted
  }

  private static func readWholeContainer(_ bytes: [UInt8]) -> Bool {
    let byteLimit = 1 << 24
    do {
      let file = try ContainerFile(InputFile(bytes, path: ""))
      let contents = file.contents
      // The table states the sizes of sections. Reading very large ones would only measure memory.
      var byteCount = 0
      for size in contents.tensors.map(\.byteCount) + contents.assets.map(\.byteCount) {
        guard size <= byteLimit - byteCount else { return true }
        byteCount += size
      }
      for tensor in contents.tensors {
        let count = try file.bytes(of: tensor).count
        precondition(count == tensor.byteCount, "\(count) bytes of \(tensor)")
      }
      for asset in contents.assets { _ = try file.bytes(of: asset) }
      try contents.validateQuantization(path: "")
      try file.verify()
      return true
    } catch {
      return describe(error)
    }
  }

  private static func readGGUF(_ bytes: [UInt8]) -> Bool {
    do {
      let checkpoint = try Checkpoint.openGGUF(InputFile(bytes, path: ""))
      for tensor in checkpoint.contents.tensors {
        let count = try checkpoint.bytes(of: tensor.name).count
        precondition(count == tensor.byteCount, "\(count) bytes of \(tensor)")
      }
      try checkpoint.contents.validateQuantization(path: "")
      for asset in checkpoint.contents.assets { _ = try checkpoint.asset(named: asset.name) }
      return true
    } catch {
      return describe(error)
    }
  }

  private static func readJSON(_ bytes: [UInt8]) -> Bool {
    do {
      let value = try JSONValue(parsing: bytes)
      for text in [value.compactText, value.prettyText] {
        let again = try JSONValue(parsing: Array(text.utf8))
        precondition(again == value, "\(text) does not read back")
      }
      _ = try ModelConfiguration(value, path: "")
      return true
    } catch {
      return describe(error)
    }
  }

  /// A text must be unchanged after encoding and decoding.
  private static func readJSONLines(_ bytes: [UInt8]) -> Bool {
    do {
      let lines = try JSONLines(parsing: bytes, path: "").lines
      precondition(!lines.isEmpty && lines.indices.allSatisfy { lines[$0].number == $0 + 1 })
      for line in lines {
        precondition(line.object.object != nil, "\(line.object)")
        for key in ["text", "prompt", "completion"] where line.object[key] != nil {
          let text = try line.text(key)
          precondition(tinyTokenizer.decodeBytes(tinyTokenizer.encode(text)) == Array(text.utf8), "\(text)")
        }
      }
      return true
    } catch {
      return describe(error)
    }
  }

  private static let tinyTokenizer: Tokenizer = {
    do {
      return try Tokenizer(contentsOf: Fixtures.path("tiny-llama/tokenizer.json"))
    } catch {
      preconditionFailure("\(error)")
    }
  }()

  private static func readTokenizer(_ bytes: [UInt8]) -> Bool {
    do {
      let tokenizer = try TensorBytes(bytes).withSpan { try Tokenizer(parsing: $0, path: "") }
      for token in tokenizer.encode("aA 1\u{E9}") {
        precondition((0..<tokenizer.vocabularySize).contains(Int(token)), "token \(token)")
      }
      return true
    } catch {
      return describe(error)
    }
  }

  private static func readSentencePiece(_ bytes: [UInt8]) -> Bool {
    do {
      let tokenizer = try TensorBytes(bytes).withSpan { try Tokenizer(parsingSentencePiece: $0, path: "") }
      for text in ["aA  1\u{E9} the", "\u{2581}\u{FB01}\t\u{1F642}<0x0A>"] {
        let tokens = tokenizer.encode(text)
        precondition(tokens.allSatisfy { (0..<tokenizer.vocabularySize).contains(Int($0)) }, "\(tokens)")
        _ = tokenizer.decode(tokens)
      }
      return true
    } catch {
      return describe(error)
    }
  }

  /// Describes an error; the message must stay on one line.
  static func describe(_ error: any Error) -> Bool {
    let text = String(describing: error)
    precondition(error is JSONError || !text.contains(where: \.isNewline), "\(text)")
    return false
  }
}
