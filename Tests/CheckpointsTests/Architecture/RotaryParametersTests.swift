import Checkpoints
import TestSupport
import Testing

@Suite struct RotaryParametersTests {
  /// A few roundings of f32, the power's among them.
  private static let relativeError: Float = 5e-7

  /// Frequencies that transformers computes; see `Fixtures/README.md`.
  struct Golden: Sendable, CustomTestStringConvertible {
    let json: JSONValue
    var testDescription: String { json["name"]?.string ?? "" }

    func parameters() throws -> RotaryParameters {
      let config = try #require(json["config"])
      let context = try #require(config["max_position_embeddings"]?.integer)
      return try RotaryParameters(
        ConfigurationKeys(json: config, path: "config.json"), contextLength: context,
        turnedCount: try #require(json["turned_count"]?.integer), layerType: json["layer_type"]?.string)
    }
  }

  static let golden: [Golden] =
    ((try? JSONValue(contentsOf: Fixtures.path("golden/rotary.json")))?.array ?? []).map(Golden.init)

  @Test func `has golden cases`() { #expect(Self.golden.count == 61) }

  @Test(arguments: golden)
  func `frequencies and amplitude are those of transformers`(case golden: Golden) throws {
    let parameters = try golden.parameters()
    let found = parameters.frequencies(
      turnedCount: try #require(golden.json["turned_count"]?.integer),
      sequenceLength: try #require(golden.json["length"]?.integer))
    let expected = try #require(golden.json["frequencies"]?.array).compactMap(\.double).map(Float.init)
    #expect(found.count == expected.count)
    for (a, b) in zip(found, expected) { #expect(abs(a - b) <= Self.relativeError * b) }
    let amplitude = try #require(golden.json["amplitude"]?.double)
    #expect(abs(parameters.amplitude - amplitude) < 1e-15)
  }

  private func read(
    _ config: String, turnedCount: Int = 8, layerType: String? = nil, understood: Set<String> = [],
    yarnIsLongRope: Bool = false
  ) throws -> RotaryParameters {
    try RotaryParameters(
      ConfigurationKeys(json: JSONValue(parsing: Array("{\(config)}".utf8)), path: "config.json"),
      contextLength: 4096, turnedCount: turnedCount, defaultTheta: 2e6, layerType: layerType,
      understood: understood, yarnIsLongRope: yarnIsLongRope)
  }

  private static let factors = #""short_factor": [1, 1, 1, 2], "long_factor": [1, 2, 3, 4]"#

  @Test func `without a key the base is the family's`() throws {
    #expect(try read("") == RotaryParameters(theta: 2e6))
    #expect(try read(#""rope_theta": 5e5"#) == RotaryParameters(theta: 5e5))
    #expect(
      try read(#""rope_theta": 5e5, "rope_parameters": {"rope_theta": 1e4}"#) == RotaryParameters(theta: 1e4))
  }

  @Test(arguments: ["su", "longrope", "yarn"])
  func `old names of longrope are read`(type: String) throws {
    let parameters = try read(
      #""original_max_position_embeddings": 1024, "rope_scaling": {"type": "\#(type)", \#(Self.factors)}"#,
      yarnIsLongRope: true)
    guard case .longrope(let scaling) = parameters.scaling else {
      Issue.record("\(parameters)")
      return
    }
    #expect(scaling.shortDivisors == [1, 1, 1, 2] && scaling.longDivisors == [1, 2, 3, 4])
    #expect(scaling.originalContext == 1024)
  }

  @Test func `sections of frequencies change nothing in a text`() throws {
    let sections = #""mrope_section": [1, 1, 2], "mrope_interleaved": true"#
    #expect(try read(#""rope_scaling": {"type": "mrope", \#(sections)}"#) == RotaryParameters(theta: 2e6))
    #expect(
      try read(#""rope_parameters": {"rope_type": "default", \#(sections)}"#) == RotaryParameters(theta: 2e6))
  }

  @Test func `keys that the family reads are not refused`() throws {
    let growth = #""rope_parameters": {"rope_type": "default", "llama_4_scaling_beta": 0.5}"#
    #expect(throws: FormatError.self) { try read(growth) }
    #expect(try read(growth, understood: ["llama_4_scaling_beta"]).scaling == nil)
  }

  @Test func `each kind of layer has its object, or that of all`() throws {
    let nested = #"""
      "rope_theta": 3e4, "rope_parameters": {
        "full_attention": {"rope_type": "linear", "factor": 2, "rope_theta": 1e6},
        "sliding_attention": {"rope_type": "default"}}
      """#
    #expect(
      try read(nested, layerType: "full_attention")
        == RotaryParameters(theta: 1e6, scaling: .linear(factor: 2)))
    #expect(try read(nested, layerType: "sliding_attention") == RotaryParameters(theta: 3e4))
    let flat = #""rope_parameters": {"rope_type": "linear", "factor": 2, "rope_theta": 1e6}"#
    #expect(try read(flat, layerType: "sliding_attention") == read(flat))
  }

  @Test(arguments: [
    (#""rope_scaling": {"rope_type": "axial"}"#, "rope_scaling.rope_type", "axial"),
    (#""rope_scaling": {"rope_type": "linear", "factor": 2, "base": 3}"#, "rope_scaling.base", "3"),
    (#""rope_scaling": {"rope_type": "linear"}"#, "rope_scaling.factor", "positive"),
    (#""rope_scaling": {"rope_type": "yarn"}"#, "rope_scaling.factor", "positive"),
    (#""rope_scaling": {"rope_type": "linear", "factor": 0}"#, "rope_scaling.factor", "positive"),
    (#""rope_scaling": {"rope_type": "linear", "factor": 1e-60}"#, "rope_scaling.factor", "positive"),
    (#""rope_scaling": {"rope_type": "dynamic", "factor": 1e60}"#, "rope_scaling.factor", "positive"),
    (
      #""rope_scaling": {"rope_type": "yarn", "factor": 2, "beta_fast": 1, "beta_slow": 2}"#,
      "rope_scaling.beta_fast", "beta_slow"
    ),
    (
      #""rope_scaling": {"rope_type": "yarn", "factor": 2, "truncate": 0}"#, "rope_scaling.truncate", "true"
    ),
    (
      #""rope_scaling": {"rope_type": "yarn", "factor": 2, "attention_factor": -1}"#,
      "rope_scaling.attention_factor", "positive"
    ),
    (
      #""rope_scaling": {"rope_type": "longrope", "long_factor": [1, 2, 3, 4]}"#,
      "rope_scaling.short_factor", "list"
    ),
    (
      #""rope_scaling": {"rope_type": "longrope", "short_factor": [1, 2, 3], "long_factor": [1, 2, 3, 4]}"#,
      "rope_scaling.short_factor", "4"
    ),
    (
      #""rope_scaling": {"rope_type": "longrope", "short_factor": [1, 2, 3, 4], "long_factor": [1, 2, 3, 0]}"#,
      "rope_scaling.long_factor", "positive"
    ),
    (
      #""original_max_position_embeddings": 1, "rope_scaling": {"rope_type": "longrope", \#(factors)}"#,
      "rope_scaling.original_max_position_embeddings", "more than 1"
    ),
    (
      #""rope_parameters": {"rope_type": "proportional", "partial_rotary_factor": 1.5}"#,
      "rope_parameters.partial_rotary_factor", "from 0 to 1"
    ),
    (
      #""rope_parameters": {"rope_type": "yarn", "factor": 2, "short_mscale": 1.2}"#,
      "rope_parameters.short_mscale", "1.2"
    ),
    (#""rope_theta": 1"#, "rope_theta", "more than 1"),
  ])
  func `an object that is not understood is refused by its key`(config: String, key: String, word: String) {
    let error = #expect(throws: FormatError.self) { try read(config) }
    #expect(error?.place == "key '\(key)'" && error?.description.contains(word) == true)
  }

  @Test(arguments: [
    (#""rope_parameters": {"sliding_attention": {"rope_type": "default"}}"#, "full_attention", "missing"),
    (
      #""rope_parameters": {"full_attention": {"rope_type": "default"}, "factor": 2}"#,
      "rope_parameters.factor", "not understood"
    ),
    (
      #""rope_parameters": {"full_attention": {"rope_type": "yarn", "factor": 2, "truncate": false}}"#,
      "rope_parameters.full_attention.truncate", "one kind"
    ),
    (
      #""rope_parameters": {"full_attention": {"rope_type": "default", "base": 1}}"#,
      "rope_parameters.full_attention.base", "1"
    ),
  ])
  func `an object for a kind of layer that is not understood is refused by its key`(
    config: String, key: String, word: String
  ) {
    let error = #expect(throws: FormatError.self) { try read(config, layerType: "full_attention") }
    #expect(error?.description.contains("\(key)'") == true && error?.description.contains(word) == true)
  }

  @Test func `the dynamic base changes with every length beyond the context`() throws {
    let parameters = try read(#""rope_scaling": {"type": "dynamic", "factor": 2}"#)
    #expect(parameters.dependsOnLength)
    #expect(!parameters.changes(between: 1, 4096))
    #expect(parameters.changes(between: 4096, 4097) && parameters.changes(between: 5000, 5001))
    #expect(
      parameters.frequencies(turnedCount: 8, sequenceLength: 4096) == parameters.frequencies(turnedCount: 8))
  }

  @Test func `longrope changes once, beyond its original context`() throws {
    let parameters = try read(
      #""original_max_position_embeddings": 64, "rope_scaling": {"type": "su", \#(Self.factors)}"#)
    #expect(parameters.dependsOnLength)
    #expect(!parameters.changes(between: 1, 64) && !parameters.changes(between: 65, 4096))
    #expect(parameters.changes(between: 64, 65))
    let same = RotaryParameters(
      theta: 1e4,
      scaling: .longrope(
        LongRopeScaling(
          shortDivisors: [2, 3], longDivisors: [2, 3], originalContext: 64, amplitude: 1)))
    #expect(!same.dependsOnLength && !same.changes(between: 1, 100))
  }

  @Test func `other scalings never change`() throws {
    for scaling in [nil, .linear(factor: 2), .yarn(YarnScaling(factor: 2, originalContext: 64))]
      as [RotaryParameters.Scaling?]
    {
      let parameters = RotaryParameters(theta: 1e4, scaling: scaling)
      #expect(!parameters.dependsOnLength && !parameters.changes(between: 1, 1 << 20))
    }
  }
}
