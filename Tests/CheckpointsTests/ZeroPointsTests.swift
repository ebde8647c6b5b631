import Checkpoints
import TestSupport
import Testing

@Suite struct ZeroPointsTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test(
    arguments: [
      (2, [1, 2, 3, 0, 2, 1, 1, 1, 3, 3], [0x39, 0x02, 0xD5, 0x03]),
      (3, [1, 6, 3, 7, 5, 0], [0xF1, 0x00, 0x2F, 0x00]),
      (4, [1, 14, 8, 2, 7, 9], [0xE1, 0x08, 0x72, 0x09]),
      (8, [200, 0, 128, 255], [0xC8, 0x00, 0x80, 0xFF]),
    ] as [(Int, [UInt8], [UInt8])])
  func `rows of zero points begin with a byte`(bits: Int, values: [UInt8], bytes: [UInt8]) {
    let zeroPoints = ZeroPoints(
      grid: .zeroPoint, bits: bits, groupsPerRow: values.count / 2, values: values)
    #expect(zeroPoints.bytes == bytes)
  }

  @Test(arguments: ZeroPointGrid.allCases)
  func `names the tensors of a module with their dtypes and shapes`(grid: ZeroPointGrid) {
    let layout = QuantizedLayout.zeroPoint(grid, bits: 2, groupSize: 64)
    var tensors = [
      TensorInfo(name: "m.weight", dtype: .u32, shape: [3, 36]),
      TensorInfo(name: "m.scales", dtype: .f16, shape: [3, 9]),
    ]
    if grid != .symmetric { tensors.append(TensorInfo(name: "m.zero_points", dtype: .u8, shape: [3, 3])) }
    #expect(layout.tensors(of: "m", rows: 3, columns: 576, tables: .f16) == tensors)
    #expect(layout.parts(rows: 3, columns: 576).map(\.kind) == layout.partKinds)
    #expect(layout.bitsPerWeight(tables: .f16) == (grid == .symmetric ? 2.25 : 2.28125))
    #expect(layout.description == "2 bits, groups of 64, \(grid.rawValue)")
    #expect(layout.superBlock == nil && !layout.isFree && !layout.hasOwnBiases)
  }

  /// A container with one row of two groups of 32.
  private func sample(_ grid: ZeroPointGrid, bits: Int = 2, zeroPoints: UInt8 = 0b1001) -> ContainerSample {
    let layout = QuantizedLayout.zeroPoint(grid, bits: bits, groupSize: 32)
    let tensors = layout.tensors(of: "m", rows: 1, columns: 64, tables: .f16)
    let codes = [UInt8](repeating: 0xE4, count: 8 * bits)
    // 0.5 and -0.25.
    return ContainerSample(
      CheckpointContents(tensors: tensors, quantization: ["m": layout]),
      tensors: [codes, [0x00, 0x38, 0x00, 0xB4], [zeroPoints]].prefix(tensors.count).map(\.self), assets: [])
  }

  private func open(_ sample: ContainerSample) throws -> Checkpoint {
    let path = folder.path("a.rilq")
    try sample.write(to: path)
    return try Checkpoint.openContainer(path: path)
  }

  @Test func `biases follow from scales and zero points`() throws {
    let weight = try #require(try open(sample(.portable)).quantizedWeight(of: "m"))
    #expect(weight.scales == [0.5, -0.25] && weight.biases == [-0.5, 0.5])
    #expect(weight.zeroPoints?.values == [1, 2])
    let middle = try #require(try open(sample(.symmetric)).quantizedWeight(of: "m"))
    #expect(middle.biases == [-1, 0.5])
  }

  @Test(arguments: ZeroPointGrid.allCases)
  func `free tables give the same weights`(grid: ZeroPointGrid) throws {
    let checkpoint = try open(sample(grid))
    let free = checkpoint.freeingZeroPoints()
    try free.contents.validateQuantization(path: "free")
    let expected = try #require(try checkpoint.quantizedWeight(of: "m"))
    let weight = try #require(try free.quantizedWeight(of: "m"))
    #expect(weight.layout == .affine(bits: 2, groupSize: 32))
    #expect(weight.scales == expected.scales && weight.biases == expected.biases)
    // Three times a scale may need more digits than the scale.
    #expect(free.tensor(named: "m.biases")?.dtype == (grid == .zeroPoint ? .f32 : .f16))
    #expect(free.tensor(named: "m.scales")?.dtype == free.tensor(named: "m.biases")?.dtype)
  }

  @Test(arguments: [(0b1000, 0, 0), (0b1101, 1, 3)] as [(UInt8, Int, Int)])
  func `a zero point that the grid does not have is refused where it stands`(
    stored: UInt8, group: Int, value: Int
  ) throws {
    let checkpoint = try open(sample(.portable, zeroPoints: stored))
    let error = #expect(throws: FormatError.self) { try checkpoint.quantizedWeight(of: "m") }
    #expect(error?.place == "tensor 'm.zero_points'")
    #expect(error?.description.contains("row 0, group \(group) has \(value)") == true)
    #expect(try open(sample(.zeroPoint, zeroPoints: stored)).quantizedWeight(of: "m") != nil)
  }

  @Test func `portable has codes of 2 bits`() {
    let layout = QuantizedLayout.zeroPoint(.portable, bits: 4, groupSize: 32)
    #expect(layout.problem != nil)
    #expect(throws: FormatError.self) { try open(sample(.portable, bits: 4)) }
  }

  @Test func `the grid is part of the content digest`() throws {
    let digests = try [ZeroPointGrid.zeroPoint, .portable].map { grid in
      try sample(grid).write(to: folder.path("\(grid.rawValue).rilq")).contentDigest
    }
    #expect(digests[0] != digests[1])
  }

  @Test func `a folder states the grid as its mode`() throws {
    let checkpoint = try open(sample(.portable))
    var contents = checkpoint.contents
    let configuration = Array("{\"model_type\": \"llama\"}".utf8)
    contents.assets = [Asset(name: "config.json", byteCount: configuration.count)]
    let writer = try SafetensorsFolderWriter(contents, folder: folder.path("folder"))
    for tensor in contents.tensors {
      try checkpoint.bytes(of: tensor.name).withSpan { try writer.write(tensor, $0) }
    }
    try writer.write(contents.assets[0], configuration.span.bytes)
    _ = try writer.finish()
    let folder = try Checkpoint.open(path: folder.path("folder"))
    #expect(folder.contents.quantization == checkpoint.contents.quantization)
    #expect(try folder.quantizedWeight(of: "m")?.biases == [-0.5, 0.5])
  }
}
