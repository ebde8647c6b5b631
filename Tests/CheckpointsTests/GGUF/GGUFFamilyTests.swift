import Checkpoints
import Kernels
import TestSupport
import Testing

/// Every family against what llama.cpp's converter writes; see `Fixtures/README.md`.
struct GGUFFamilyTests {
  private static let document = try? JSONValue(contentsOf: Fixtures.path("gguf/families.json"))
  static let names = (document?.object ?? []).map(\.key)

  private func golden(_ name: String) throws -> JSONValue { try #require(Self.document?[name]) }

  private func layout(_ name: String) throws -> ModelLayout {
    ModelLayout(try ModelConfiguration(#require(golden(name)["config"]), path: "config.json"))
  }

  private func model(_ layout: ModelLayout) throws -> GGUFExportModel {
    let ties = layout.configuration.tiesEmbeddings && !layout.configuration.family.gguf.requiresHead
    return GGUFExportModel(name: "sample", layout, head: ties ? .embedding : .own)
  }

  /// A checkpoint of the configuration with random weights; its matrices and vectors are BF16.
  private func checkpoint(_ layout: ModelLayout) throws -> SampleCheckpoint {
    var tensors: [TensorInfo] = []
    for tensor in Array(layout.bodyTensors) + (try model(layout).head == .own ? [layout.head] : []) {
      tensors.append(TensorInfo(name: tensor.name, dtype: .bf16, shape: tensor.shape))
      guard tensor.slot.hasBias else { continue }
      tensors.append(TensorInfo(name: tensor.biasName, dtype: .bf16, shape: [tensor.shape[0]]))
    }
    var sample = SampleCheckpoint(tensors)
    var random = SplitMix64(seed: 3)
    for tensor in tensors {
      sample.values[tensor.name] = narrowed(
        (0..<tensor.elementCount).map { _ in Float(Int.random(in: -255...255, using: &random)) / 256 },
        to: .bf16)
    }
    return sample
  }

  private func write(
    _ sample: SampleCheckpoint, _ layout: ModelLayout, in folder: TemporaryFolder
  ) throws -> Checkpoint {
    let path = folder.path("model")
    try sample.write(to: path)
    let opened = try Checkpoint.open(path: path)
    let plan = try GGUFExportPlan(
      opened.contents, model(layout),
      GGUFSample.vocabulary(count: layout.configuration.vocabularySize), path: "out.gguf")
    let export = try GGUFExport(plan, opened, GGUFExportOptions())
    let writer = try GGUFWriter(export, path: folder.path("out.gguf"))
    for tensor in export.contents.tensors {
      try opened.bytes(of: tensor.name).withSpan { try writer.write(tensor, $0) }
    }
    _ = try writer.finish()
    return try Checkpoint.open(path: folder.path("out.gguf"))
  }

  @Test(arguments: names) func `writes the keys of llama.cpp's converter`(name: String) throws {
    let golden = try golden(name)
    let folder = try TemporaryFolder()
    let layout = try layout(name)
    _ = try write(checkpoint(layout), layout, in: folder)
    let header = try GGUFHeader(of: InputFile(path: folder.path("out.gguf"), access: .read))
    #expect(header.metadata["general.architecture"]?.string == golden["architecture"]?.string)
    for member in golden["keys"]?.object ?? [] where member.value.array?.last?.string != "none" {
      let found = header.metadata[member.key]
      let expected = member.value.array?.last
      switch expected {
      case .bool(let bool): #expect(found == .bool(bool), "\(member.key)")
      case .string(let text): #expect(found == .string(text), "\(member.key)")
      case .array(let items):
        #expect(found?.array == items.compactMap { $0.bool.map(GGUFValue.bool) }, "\(member.key)")
      default:
        // The converter states the amplitude of yarn, which llama.cpp derives, if the configuration does.
        guard !member.key.hasSuffix("yarn_attn_factor") else { continue }
        let number = found?.double ?? found?.integer.map(Double.init)
        #expect(number.map { Float($0) } == expected?.double.map { Float($0) }, "\(member.key)")
      }
    }
  }

  @Test(arguments: names) func `writes the tensors of llama.cpp's converter`(name: String) throws {
    let golden = try golden(name)
    let folder = try TemporaryFolder()
    let layout = try layout(name)
    _ = try write(checkpoint(layout), layout, in: folder)
    let header = try GGUFHeader(of: InputFile(path: folder.path("out.gguf"), access: .read))
    var expected = (golden["tensors"]?.object ?? []).map(\.key)
    for entry in header.entries where !entry.name.hasPrefix("blk.") || entry.name.hasPrefix("blk.0.") {
      let form = try #require(golden["tensors"]?[entry.name]?.array, "\(entry.name)")
      #expect(form.first?.array?.compactMap(\.integer) == entry.shape, "\(entry.name)")
      #expect(form.last?.string == entry.type.name, "\(entry.name)")
      expected.removeAll { $0 == entry.name }
    }
    #expect(expected.isEmpty)
  }

  @Test(arguments: names) func `comes back as the same model with the same tensors`(name: String) throws {
    let folder = try TemporaryFolder()
    let layout = try layout(name)
    let sample = try checkpoint(layout)
    let found = try write(sample, layout, in: folder)
    for tensor in sample.contents.tensors {
      #expect(found.tensor(named: tensor.name) == tensor)
      #expect(try found.copiedBytes(of: tensor.name) == sample.values[tensor.name], "\(tensor.name)")
    }
    #expect(found.contents.tensors.count == sample.contents.tensors.count)
    let read = try ModelConfiguration(of: found)
    #expect(read.family.ggufArchitecture == layout.configuration.family.ggufArchitecture)
    // llama.cpp has no windows in these architectures, so the file states none.
    let losesWindows =
      layout.configuration.hasWindows && read.family.gguf.windows == .ignored
      && !read.family.gguf.statesIgnoredWindow
    #expect((read.description == layout.configuration.description) == !losesWindows)
    #expect(read.contextLength == layout.configuration.contextLength)
  }

  @Test func `norms of 1 + w that F32 cannot hold come back in F32, equal up to rounding`() throws {
    let folder = try TemporaryFolder()
    let layout = try layout("gemma")
    var sample = try checkpoint(layout)
    let name = layout.finalNorm.name
    let values = [Float](repeating: 1 / 1_234_567, count: layout.finalNorm.shape[0])
    sample.values[name] = narrowed(values, to: .bf16)
    let found = try write(sample, layout, in: folder)
    #expect(found.tensor(named: name)?.dtype == .f32)
    let (first, second) = (
      try #require(Fixtures.floats(name, in: found).first),
      widened(narrowed(values, to: .bf16), from: .bf16)[0]
    )
    #expect(first != second && first + 1 == second + 1)
  }
}
