import Checkpoints
import Foundation
import Kernels
import TestSupport
import Testing

@Suite struct ContainerRoundTripTests {
  static let options: [ContainerOptions] = [ContainerCompression.none, .zlib, .zstd(level: 3)].flatMap {
    compression in
    [64, 4096, 1 << 20].flatMap { size in
      [true, false].map {
        ContainerOptions(compression: compression, keepsMappable: $0, blockByteCount: size)
      }
    }
  }

  @Test(arguments: options) func `reads back what was written`(options: ContainerOptions) throws {
    let folder = try TemporaryFolder()
    let sample = ContainerSample.everything(seed: 11)
    try sample.write(to: folder.path("a.rilq"), options)
    #expect(try ContainerSample(reading: folder.path("a.rilq")) == sample)
  }

  @Test(arguments: 1...8) func `reads back random tensors`(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let infos = (0..<20).map { i in
      let dtype = DType.allCases.filter { $0.bitWidth >= 8 }.randomElement(using: &random) ?? .f32
      let shape = (0..<Int.random(in: 0...4, using: &random)).map { _ in Int.random(in: 0...7, using: &random)
      }
      return TensorInfo(name: "t\(i)", dtype: dtype, shape: shape)
    }
    let alphabet = UInt8.random(in: 0...255, using: &random)
    let tensors = infos.map { info in
      (0..<info.byteCount).map { _ in UInt8.random(in: 0...alphabet, using: &random) }
    }
    let sample = ContainerSample(CheckpointContents(tensors: infos), tensors: tensors, assets: [])
    let options = try #require(Self.options.randomElement(using: &random))
    let folder = try TemporaryFolder()
    try sample.write(to: folder.path("a.rilq"), options)
    #expect(try ContainerSample(reading: folder.path("a.rilq")) == sample)
  }

  @Test(arguments: options, [1, 8])
  func `writes the same bytes tensor by tensor and many at once`(
    options: ContainerOptions, threads: Int
  ) throws {
    // The largest tensors have more blocks than one thread encodes.
    let sample = ContainerSample.everything(seed: 12)
    let folder = try TemporaryFolder()
    try ThreadLimit.with(threads) {
      let writer = try ContainerWriter(sample.contents, path: folder.path("many.rilq"), options: options)
      let tensors = zip(sample.contents.tensors, sample.tensors).map { ($0, TensorBytes($1)) }
      try writer.write(Array(tensors[..<5]))
      try writer.write(Array(tensors[5...]))
      for (asset, bytes) in zip(sample.contents.assets, sample.assets) {
        try writer.write(asset, bytes.span.bytes)
      }
      _ = try writer.finish()
    }
    #expect(try folder.read("many.rilq") == sample.fileBytes(options))
  }

  @Test func `holds an empty checkpoint`() throws {
    let sample = ContainerSample(CheckpointContents(tensors: []), tensors: [], assets: [])
    let folder = try TemporaryFolder()
    #expect(try ContainerSample(reading: folder.write("a.rilq", sample.fileBytes())) == sample)
  }

  @Test func `shrinks 16-bit weights and leaves packed codes as they are`() throws {
    var random = SplitMix64(seed: 5)
    let codes = (0..<4096).map { _ in UInt8.random(in: 0...255, using: &random) }
    let weights = (0..<4096).flatMap { _ in
      let bits = Float.random(in: -0.1...0.1, using: &random).bitPattern
      return [UInt8(truncatingIfNeeded: bits >> 16), UInt8(truncatingIfNeeded: bits >> 24)]
    }
    let sample = ContainerSample(
      CheckpointContents(tensors: [
        TensorInfo(name: "codes", dtype: .u32, shape: [1024]),
        TensorInfo(name: "weights", dtype: .bf16, shape: [4096]),
      ]), tensors: [codes, weights], assets: [])
    let bytes = try sample.fileBytes()
    #expect(Array(bytes[64..<64 + 4096]) == codes)
    #expect(bytes.count < 64 + 4096 + 8192 * 3 / 4 + 1024)
  }

  @Test func `reads a tensor that is asked for by another normal form of its name`() throws {
    let sample = ContainerSample(
      CheckpointContents(tensors: [TensorInfo(name: "\u{E9}", dtype: .u8, shape: [1])]), tensors: [[7]],
      assets: [])
    let folder = try TemporaryFolder()
    let checkpoint = try Checkpoint.openContainer(path: folder.write("a.rilq", sample.fileBytes()))
    #expect(try checkpoint.bytes(of: "e\u{301}").withSpan { $0.copiedBytes() } == [7])
  }

  @Test func `tells containers from other files`() throws {
    let folder = try TemporaryFolder()
    #expect(try Checkpoint.isContainer(path: folder.write("a.rilq", ContainerSample.worked.fileBytes())))
    #expect(try !Checkpoint.isContainer(path: folder.write("a.rilq", [0x52, 0x49, 0x4C])))
    #expect(try !Checkpoint.isContainer(path: folder.write("a.rilq", Array("GGUF....".utf8))))
    #expect(try !Checkpoint.isContainer(path: folder.path))
    #expect(try !Checkpoint.isContainer(path: folder.path("missing")))
  }
}

@Suite(.serialized) struct ContainerDeterminismTests {
  @Test(arguments: ContainerRoundTripTests.options)
  func `writes the same bytes on one thread and on many`(options: ContainerOptions) throws {
    let sample = ContainerSample.everything(seed: 3)
    let alone = try ThreadLimit.with(1) { try sample.fileBytes(options) }
    #expect(try ThreadLimit.with(7) { try sample.fileBytes(options) } == alone)
  }
}

@Suite struct ContentDigestTests {
  private func digest(_ sample: ContainerSample, _ options: ContainerOptions = .init()) throws -> String {
    let folder = try TemporaryFolder()
    let writer = try sample.write(to: folder.path("a.rilq"), options)
    let stated = try ContainerFile(path: folder.path("a.rilq")).contentDigest
    #expect(writer.contentDigest == stated)
    return stated.description
  }

  @Test func `is that of the worked example`() throws {
    #expect(
      try digest(.worked) == "26c4f233a9525347c633b56046340513ed3f105d86c80c856488176da71ba458")
  }

  @Test func `ignores metadata, order and compression`() throws {
    var other = ContainerSample.everything(seed: 1)
    let expected = try digest(other)
    other.contents.metadata = .object([])
    other.contents.tensors.reverse()
    other.tensors.reverse()
    #expect(
      try digest(other, .init(compression: .zlib, keepsMappable: false, blockByteCount: 64)) == expected)
  }

  @Test func `changes with values, names, parameters and assets`() throws {
    let original = ContainerSample.everything(seed: 1)
    var changed = [original, original, original, original, original]
    changed[0].tensors[0][0] ^= 1
    changed[1].contents.tensors[0] = TensorInfo(name: "m.weighs", dtype: .u32, shape: [1, 2])
    changed[2].contents.adapter?.alpha = 33
    changed[3].contents.quantization["m"] = .affine(bits: 4, groupSize: 32)
    changed[4].assets[0][0] ^= 1
    #expect(Set(try (changed + [original]).map { try digest($0) }).count == 6)
  }
}
