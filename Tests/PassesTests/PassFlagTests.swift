import Passes
import Testing

@Suite struct PassFlagTests {
  @Test func `sets the same keys as a recipe`() throws {
    let pass = try PassOptions(
      name: "quantize",
      flags: [PassFlag("group_size", "32"), PassFlag("ignore", list: ["lm_head", "re:a|b"])])
    #expect(
      pass
        == .quantize(
          QuantizeOptions(groupSize: 32, ignore: [try ModulePattern("lm_head"), try ModulePattern("re:a|b")]))
    )
  }

  @Test func `takes a path from the current folder, whatever it looks like`() throws {
    let pass = try PassOptions(name: "calibrate", flags: [PassFlag("text", "5")])
    #expect(pass == .calibrate(CalibrateOptions(text: PathOption("5"))))
  }

  @Test func `knows the passes before`() throws {
    let flags = [PassFlag("text", "t"), PassFlag("against", "unmerged")]
    #expect(
      try PassOptions(name: "verify", flags: flags, after: [.merge(MergeOptions())])
        == .verify(VerifyOptions(text: PathOption("t"), against: .unmerged)))
  }

  @Test(arguments: [
    (PassFlag("group_size", "48"), "--group-size 48: key 'group_size': is '48', expected 32, 64 or 128"),
    (PassFlag("bits", "two"), "--bits two: key 'bits': is 'two', expected 2, 3, 4 or 8"),
    (
      PassFlag("ignore", list: ["a", "["]),
      "--ignore a [: key 'ignore.1': pattern '[' has a '[' without its ']'"
    ),
  ])
  func `names the flag that is wrong`(flag: PassFlag, expected: String) {
    #expect(message { _ = try PassOptions(name: "quantize", flags: [flag]) } == expected)
  }

  @Test func `names a key that is missing`() {
    #expect(
      message { _ = try PassOptions(name: "calibrate", flags: []) }
        == "rilq calibrate: key 'text': is missing")
  }
}
