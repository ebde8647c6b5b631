import Checkpoints
import TestSupport
import Testing

@Suite struct `JSON value` {
  private func problem(_ text: String) -> String? {
    do throws(JSONError) {
      _ = try JSONValue(parsing: Array(text.utf8))
      return nil
    } catch { return error.description }
  }

  @Test func `keeps the order of keys and the text of numbers`() throws {
    let text = #"{"b":1e-05,"a":[1.50,-0,true,null,"x"],"":{}}"#
    #expect(try JSONValue(parsing: Array(text.utf8)).compactText == text)
  }

  @Test func `decodes escapes and writes them back short`() throws {
    let value = try JSONValue(parsing: Array(#""a\u00e9\ud83d\ude00\n\/\"\\b\u0000é""#.utf8))
    #expect(value.string == "aé😀\n/\"\\b\0é")
    #expect(value.compactText == #""aé😀\n/\"\\b\u0000é""#)
  }

  @Test(arguments: 0...18)
  func `reads long strings with an escape, a quote or a control character at any place`(place: Int) throws {
    let before = String(repeating: "x", count: place)
    // Bytes around the ones that end a run, and ones with the high bit.
    for plain in [" ", "!", "#", "[", "]", "\u{7F}", "é", "\u{FFFD}", "\u{2122}\u{A2}"] {
      let text = before + plain + "0123456789abcdef"
      #expect(try JSONValue(parsing: Array("[\"\(text)\",1]".utf8)) == .array([.string(text), .integer(1)]))
      #expect(try JSONValue(parsing: Array("\"\(text)\\n\(text)\"".utf8)).string == text + "\n" + text)
    }
    for control in ["\0", "\u{1}", "\u{1F}"] {
      let problem = problem("\"\(before)\(control)0123456789abcdef\"")
      #expect(problem.says("byte \(1 + place): a control character …"))
    }
  }

  @Test(arguments: [0, 1, 512, 513, 20_000])
  func `writes an object in pieces as it does at once`(count: Int) {
    let members = [
      JSONValue.Member("a\"", .string("é")), JSONValue.Member("b", .object([])),
      JSONValue.Member("c", .object([JSONValue.Member("d", .array([.null, .array([])]))])),
    ]
    let element = { @Sendable (i: Int) in
      JSONValue.object([JSONValue.Member("name", .string("t\(i)é")), JSONValue.Member("n", .integer(i))])
    }
    var pieces: [String] = []
    JSONValue.writePrettyText(of: members, endingWith: "last", count: count, element) { pieces.append($0) }
    let whole = JSONValue.object(members + [JSONValue.Member("last", .array((0..<count).map(element)))])
    #expect(pieces.joined() == whole.prettyText)
    #expect((pieces.allSatisfy { $0.utf8.count < 100_000 }))
  }

  @Test(arguments: [0, 20])
  func `keys of other bytes are other keys, even if they look the same`(others: Int) throws {
    let members = (0..<others).map { #""k\#($0)":0"# } + [#""\u00C5":1"#, #""\u212B":2"#, #""A\u030A":3"#]
    #expect(problem("{\(members.joined(separator: ","))}") == nil)
  }

  @Test func `finds a repeated key among many`() {
    let members = (0..<1000).map { #""k\#($0)":0"# } + [#""k5":0"#]
    #expect(problem("{\(members.joined(separator: ","))}")?.hasSuffix("duplicate key 'k5'") == true)
  }

  @Test(arguments: [
    ("", "byte 0: … ends …"), ("nul", "byte 0: … value begins …"),
    ("01", "byte 1: … text after …"), ("1.", "byte 2: … digit"),
    ("NaN", "byte 0: … value begins …"), ("[1,]", "byte 3: … value begins …"),
    (#"{"a":1,}"#, "byte 7: … string"), (#"{"a" 1}"#, "byte 5: … ':'"),
    (#"{"a":1,"a":1}"#, "byte 7: duplicate … 'a'"),
    (#""a"#, "byte 0: … string …"),
    ("\"\t\"", "byte 1: … string …"),
    (#""\x""#, "byte 1: … escape"),
    (#""\ud800\u0041""#, "byte 1: lone surrogate"), (#""\u00g0""#, "byte 5: … hexadecimal digit"),
  ])
  func `refuses what RFC 8259 does not allow`(text: String, reason: String) {
    #expect(problem(text).says(reason))
  }
}
