import Passes
import TestSupport
import Testing

@Suite struct PassFlagTests {
  @Test func `sets the same keys as a recipe`() throws {
    let pass = try PassOptions(
      name: "quantize",
      flags: [PassFlag("group_size", "32"), PassFlag("ignore", list: ["lm_head", "re:a|b"])])
    #expect(
      pass
        == .quantize(
          try QuantizeOptions {
            $0.groupSize = 32
            $0.ignore = [try ModulePattern("lm_head"), try ModulePattern("re:a|b")]
          })
    )
  }

  @Test func `takes a path from the current folder, whatever it looks like`() throws {
    let pass = try PassOptions(name: "calibrate", flags: [PassFlag("text", "5")])
    #expect(
      pass
        == .calibrate(CalibrateOptions { $0.texts = [PathOption("5")] }))
  }

  @Test func `knows the passes before`() throws {
    let flags = [PassFlag("text", "t"), PassFlag("against", "unmerged")]
    #expect(
      try PassOptions(name: "verify", flags: flags, after: [.merge(MergeOptions())])
        == .verify(
          VerifyOptions {
            $0.text = PathOption("t")
            $0.against = .unmerged
          }))
  }

  @Test func `entries make a map, the last of a name`() throws {
    let entries = ["bias=0.5", "code=6", "bias=2"]
    let flags = [PassFlag("text", "t"), PassFlag("learning_rate_scale", map: entries)]
    let pass = try PassOptions(name: "calibrate", flags: flags)
    let options = try #require(pass.options(of: CalibratePass.self))
    #expect(options.learningRateScale.bias == 2 && options.learningRateScale.code == 6)
    #expect(options.learningRateScale.scale == 1)
  }

  @Test(arguments: [
    (["bias"], "bias: key 'learning_rate_scale.bias': … '' … number above 0 … most 1000"),
    (
      ["bais=1"], "bais=1: key 'learning_rate_scale.bais': … 'bais' … nearest … 'bias'"
    ),
  ])
  func `names the entry that is wrong`(entries: [String], expected: String) {
    let flags = [PassFlag("text", "t"), PassFlag("learning_rate_scale", map: entries)]
    #expect(
      message { _ = try PassOptions(name: "calibrate", flags: flags) }.says(
        "--learning-rate-scale " + expected))
  }

  @Test(arguments: [
    (PassFlag("group_size", "48"), "--group-size 48: key 'group_size': … '48' … 32, 64 … 128"),
    (PassFlag("bits", "two"), "--bits two: key 'bits': … 'two' … 2, 3, 4 … 8"),
    (
      PassFlag("ignore", list: ["a", "["]),
      "--ignore a [: key 'ignore.1': … '[' … '[' … ']'"
    ),
  ])
  func `names the flag that is wrong`(flag: PassFlag, expected: String) {
    #expect(message { _ = try PassOptions(name: "quantize", flags: [flag]) }.says(expected))
  }

  @Test func `names a key that is missing`() {
    #expect(
      message { _ = try PassOptions(name: "calibrate", flags: []) }.says(
        "--text … missing: rilq calibrate … --text FILE"))
  }
}
