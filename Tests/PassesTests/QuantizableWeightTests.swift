import Checkpoints
import Models
import Passes
import TestSupport
import Testing

/// Quantizing what is packed already, with more bits.
@Suite struct QuantizableWeightTests {
  private static let text = PathOption(Fixtures.path("tiny-llama/calibration.txt"))
  private let bench: Workbench

  init() throws { bench = try Workbench() }

  /// The model with 8-bit linears, and a dense F32 one with the very same values.
  private func packedAndDense() throws -> (packed: Checkpoint, dense: Checkpoint) {
    let options = QuantizeOptions { ($0.bits, $0.groupSize) = (8, 32) }
    let packed = try bench.run(.quantize(options), to: "w8.rilq").checkpoint
    let linears = try Transformer(packed).layerLinears.map { ($0.name + ".weight", $0.foldedWeight.values) }
    let values = Dictionary(uniqueKeysWithValues: linears)
    let dense = try TinyModel { $0.dtype = .f32 }.write(to: bench.folder.path("dense")) { name, tensor in
      if let known = values[name] { tensor = known }
    }
    return (packed, dense)
  }

  @Test func `codes are those of the exact values`() throws {
    let (packed, dense) = try packedAndDense()
    let options = PassOptions.quantize(QuantizeOptions { $0.tables = .f16 })
    let fromPacked = try bench.run(options, on: packed, to: "a.rilq").checkpoint
    let fromDense = try bench.run(options, on: dense, to: "b.rilq").checkpoint
    #expect(fromPacked.contents.quantization == fromDense.contents.quantization)
    #expect(fromPacked.contents.quantization.count == 14)
    let isOther = { (name: String) in !name.contains("_proj") }
    try expectSameTensors(fromPacked, fromDense, except: isOther)
  }

  @Test func `modules with as many bits or fewer stay as they are`() throws {
    let up = QuantizeOverride(targets: try patterns("*.up_proj"), bits: 8)
    let mixed = QuantizeOptions { ($0.bits, $0.overrides) = (3, [up]) }
    let packed = try bench.run(.quantize(mixed), to: "mixed.rilq").checkpoint
    let output = try bench.run(.quantize(QuantizeOptions { $0.bits = 4 }), on: packed).checkpoint
    for (module, layout) in output.contents.quantization {
      #expect(layout.bits == (module.hasSuffix("up_proj") ? 4 : 3), "\(module)")
    }
    try expectSameTensors(packed, output) { $0.contains("up_proj") }
  }

  @Test func `nothing is left when every module has as few bits already`() throws {
    let packed = try bench.run(.quantize(QuantizeOptions()), to: "w2.rilq").checkpoint
    #expect(throws: PassError.alreadyPacked) { try bench.run(.quantize(QuantizeOptions()), on: packed) }
    let all = try patterns("*")
    let nothing = QuantizeOptions { $0.ignore = all }
    #expect(throws: PassError.emptySelection) { try bench.run(.quantize(nothing)) }
    #expect(throws: PassError.emptySelection) { try bench.run(.quantize(nothing), on: packed) }
  }

  @Test func `trained changes have to be merged before`() throws {
    let packed = try bench.run(
      .quantize(QuantizeOptions { $0.bits = 8 }),
      .attach(AttachOptions { ($0.kind, $0.rank) = (.pooled, 2) }), to: "adapted.rilq"
    ).checkpoint
    let error = #expect(throws: PassError.self) { try bench.run(.quantize(QuantizeOptions()), on: packed) }
    guard case .usage(let text) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(text.contains("'rilq merge'"))
  }

  @Test func `a GGUF file of 8 bits is quantized, and calibrated against itself`() throws {
    let recipe = Recipe(
      input: PathOption(bench.input.path), output: PathOption(bench.folder.path("w8.gguf")), passes: [])
    _ = try Pipeline(
      recipe, Pipeline.Options(version: "0.0.0", ggufType: .q8_0, isLossy: true)
    ).run()
    let packed = try Checkpoint.open(path: bench.folder.path("w8.gguf"))
    #expect(packed.contents.quantization.count == 14)
    #expect(packed.contents.quantization.values.allSatisfy { $0 == .affine(bits: 8, groupSize: 32) })
    let options = CalibrateOptions {
      ($0.texts, $0.samples, $0.length) = ([Self.text], 8, 16)
      ($0.updates, $0.batch, $0.validation) = (1, 2, 2)
    }
    let result = try bench.run(.quantize(QuantizeOptions()), .calibrate(options), on: packed)
    #expect(result.checkpoint.contents.quantization.values.allSatisfy { $0.bits == 2 })
  }

  @Test func `a model that is packed as the student is teaches it nothing`() throws {
    let packed = try bench.run(.quantize(QuantizeOptions()), to: "w2.rilq").checkpoint
    let options = CalibrateOptions {
      ($0.texts, $0.samples, $0.length) = ([Self.text], 8, 16)
      ($0.updates, $0.batch, $0.validation) = (1, 2, 2)
    }
    let error = #expect(throws: PassError.self) { try bench.run(.calibrate(options), on: packed) }
    guard case .usage(let text) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(text.contains("'teacher'"))
  }
}
