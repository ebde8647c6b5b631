import Checkpoints
import Kernels
import TestSupport
import Testing

/// Modules in super-blocks as GGUF tensors.
@Suite struct GGUFSuperBlockTests {
  /// The bytes of a block that are not zero if all of its codes but one are.
  struct Place: Sendable, CustomTestStringConvertible {
    let kind: SuperBlock
    let column: Int
    let bytes: [Int: UInt8]

    init(_ kind: SuperBlock, _ column: Int, _ bytes: [Int: UInt8]) {
      (self.kind, self.column, self.bytes) = (kind, column, bytes)
    }

    var testDescription: String { "\(kind.rawValue), column \(column)" }
  }

  private static func type(_ kind: SuperBlock) -> GGUFTensorType {
    switch kind {
    case .q2K: .q2K
    case .q3K: .q3K
    case .q4K: .q4K
    case .q5K: .q5K
    case .q6K: .q6K
    case .iq2XS: .iq2XS
    case .iq2S: .iq2S
    }
  }

  /// One row with a single block.
  private static func row(_ kind: SuperBlock, codes: [UInt8], steps: [UInt8], factors: [UInt8])
    -> GGUFEncodingRows
  {
    var packed = [UInt8](repeating: 0, count: 32 * kind.bits)
    var span = packed.mutableSpan
    packCodes(codes.span, bits: kind.bits, into: &span)
    return GGUFEncodingRows(
      rowCount: 1, columnCount: 256,
      storage: .superBlocks(kind, [TensorBytes(packed), TensorBytes(steps), TensorBytes(factors)]))
  }

  private static func encoded(_ rows: GGUFEncodingRows, _ kind: SuperBlock) -> [UInt8] {
    GGUFEncoding(type: type(kind), keepsCodes: true).encoded(rows, order: .plain)
  }

  @Test(arguments: [
    Place(.q2K, 0, [16: 3]), Place(.q2K, 37, [21: 3 << 2]), Place(.q2K, 95, [47: 3 << 4]),
    Place(.q2K, 200, [56: 3 << 4]), Place(.q2K, 255, [79: 3 << 6]),
    Place(.q3K, 0, [0: 1, 32: 3]), Place(.q3K, 37, [5: 2, 37: 3 << 2]),
    Place(.q3K, 200, [8: 64, 72: 3 << 4]),
    Place(.q4K, 0, [16: 15]), Place(.q4K, 37, [21: 15 << 4]), Place(.q4K, 95, [79: 15]),
    Place(.q4K, 200, [120: 15]), Place(.q4K, 255, [143: 15 << 4]),
    Place(.q5K, 0, [16: 1, 48: 15]), Place(.q5K, 37, [21: 2, 53: 15 << 4]),
    Place(.q5K, 255, [47: 128, 175: 15 << 4]),
    Place(.q6K, 0, [0: 15, 128: 3]), Place(.q6K, 37, [37: 15, 133: 3 << 2]),
    Place(.q6K, 95, [31: 15 << 4, 159: 3 << 4]), Place(.q6K, 200, [72: 15 << 4, 168: 3 << 4]),
    Place(.q6K, 255, [127: 15 << 4, 191: 3 << 6]),
  ])
  func `the greatest code of a column has its place in the block`(place: Place) {
    let kind = place.kind
    var codes = [UInt8](repeating: 0, count: 256)
    codes[place.column] = UInt8(1 << kind.bits - 1)
    let rows = Self.row(
      kind, codes: codes, steps: [UInt8](repeating: 0, count: kind.stepByteCount),
      factors: [UInt8](repeating: 0, count: 2 * kind.factorCount))
    var expected = [UInt8](repeating: 0, count: Self.type(kind).blockByteCount)
    for (offset, byte) in place.bytes { expected[offset] = byte }
    #expect(Self.encoded(rows, kind) == expected)
  }

  @Test(arguments: [SuperBlock.iq2XS, .iq2S])
  func `points of a lattice are copied to their place`(kind: SuperBlock) {
    let points = (0..<kind.codeByteCount).map { UInt8($0 + 1) }
    let rows = GGUFEncodingRows(
      rowCount: 1, columnCount: 256,
      storage: .superBlocks(
        kind, [points, [UInt8](repeating: 0xAA, count: 8), [0x01, 0x7C]].map { TensorBytes($0) }))
    #expect(
      Self.encoded(rows, kind) == [0x01, 0x7C] + points + [UInt8](repeating: 0xAA, count: 8))
  }

  @Test(arguments: [(SuperBlock.q2K, 0, 80), (.q3K, 96, 108), (.q4K, 4, 0), (.q5K, 4, 0), (.q6K, 192, 208)])
  func `small integers and factors are copied to their places`(kind: SuperBlock, steps: Int, factors: Int) {
    let stepBytes = (0..<kind.stepByteCount).map { UInt8(0x11 * ($0 % 15 + 1)) }
    // Factors that no conversion keeps: NaNs with payloads.
    let factorBytes: [UInt8] = kind.factorCount == 1 ? [0x01, 0x7C] : [0x01, 0x7C, 0x23, 0xFD]
    let block = Self.encoded(
      Self.row(
        kind, codes: [UInt8](repeating: 0, count: 256), steps: stepBytes, factors: factorBytes), kind)
    #expect(Array(block[steps..<steps + stepBytes.count]) == stepBytes)
    #expect(Array(block[factors..<factors + factorBytes.count]) == factorBytes)
  }

  /// A folder with a model of an architecture `llama`, read from a GGUF file with one type for all matrices.
  private func model(_ type: GGUFTensorType, in folder: TemporaryFolder) throws -> Checkpoint {
    try GGUFModel { $0.type = { $0 == "token_embd.weight" || $0 == "output.weight" ? .f16 : type } }
      .open(in: folder)
  }

  private func export(
    _ checkpoint: Checkpoint, _ type: GGUFLinearType = .auto, isLossy: Bool = false
  ) throws -> GGUFExport {
    let plan = try GGUFExportPlan(
      checkpoint.contents, GGUFExportModel(of: checkpoint, name: "again"), GGUFSample.vocabulary(count: 8),
      path: "out.gguf")
    let options = GGUFExportOptions(linearType: type, isLossy: isLossy)
    try plan.requireRepresentable(options, packing: [])
    return try GGUFExport(plan, checkpoint, options)
  }

  @Test(arguments: [
    (GGUFTensorType.q2K, GGUFLinearType.q2K, UInt32(21)), (.q3K, .q3K, 11), (.q4K, .q4K, 14),
    (.q5K, .q5K, 16), (.q6K, .q6K, 18), (.iq2XS, .iq2XS, 20), (.iq2S, .iq2S, 28),
  ])
  func `a file of one type has llama.cpp's number for it`(
    type: GGUFTensorType, asked: GGUFLinearType, number: UInt32
  ) throws {
    let checkpoint = try model(type, in: TemporaryFolder())
    for asked in [asked, .auto] {
      let export = try export(checkpoint, asked)
      #expect(export.typeCounts.first { $0.type == type.name }?.count == 7)
      #expect(export.members.contains(GGUFExportMember("general.file_type", .uint32(number))))
    }
  }

  @Test func `a mixture has the number of the type with most weights`() throws {
    let mixture = GGUFModel {
      $0.type = { $0.hasPrefix("blk.0.attn_v") ? .q4K : $0.hasPrefix("blk") ? .q2K : .f16 }
    }
    let export = try export(mixture.open(in: TemporaryFolder()))
    #expect(export.members.contains(GGUFExportMember("general.file_type", .uint32(10))))
  }

  @Test(arguments: SuperBlock.allCases.map(type), [GGUFLinearType.f32, .q8_0])
  func `becomes another type through its values`(type: GGUFTensorType, asked: GGUFLinearType) throws {
    let checkpoint = try model(type, in: TemporaryFolder())
    let export = try export(checkpoint, asked, isLossy: asked == .q8_0)
    #expect(export.typeCounts.first { $0.type.lowercased() == asked.rawValue } != nil)
    #expect(export.losses.count == (asked == .f32 ? 0 : 7))
  }

  /// A request for a type of super-blocks that is refused.
  struct Refusal: Sendable, CustomTestStringConvertible {
    let type: GGUFTensorType
    let asked: GGUFLinearType
    let reason: String

    init(_ type: GGUFTensorType, _ asked: GGUFLinearType, _ reason: String) {
      (self.type, self.asked, self.reason) = (type, asked, reason)
    }

    var testDescription: String { "\(type.name) as \(asked.rawValue)" }
  }

  @Test(
    arguments: [
      Refusal(.q2K, .q4K, "… Q4_K … 2 bits … q2_k … --grid q4_k …"),
      Refusal(.q4_1, .q4K, "… Q4_K … 4 bits … groups of 32 … --grid q4_k …"),
      Refusal(.f16, .q2K, "… Q2_K … --grid q2_k …"),
      Refusal(.q4K, .q4_1, "… Q4_1 … 4 bits … q4_k … --lossy …"),
    ], [false, true])
  func `a type that does not hold the linears is refused with what would`(
    refusal: Refusal, isLossy: Bool
  ) throws {
    let checkpoint = try model(refusal.type, in: TemporaryFolder())
    guard !isLossy || refusal.asked != .q4_1 else {
      #expect(try export(checkpoint, refusal.asked, isLossy: true).losses.count == 7)
      return
    }
    let error = #expect(throws: FormatError.self) {
      try export(checkpoint, refusal.asked, isLossy: isLossy)
    }
    #expect(error?.place == "tensor 'model.layers.0.self_attn.q_proj.weight'")
    #expect((error?.problem.description).says(refusal.reason), "\(error.map(\.description) ?? "")")
  }

  @Test func `rows that are no whole blocks are named`() throws {
    let error = #expect(throws: FormatError.self) {
      try GGUFSample().write(to: try TemporaryFolder(), GGUFExportOptions(linearType: .q2K))
    }
    #expect(error?.description.contains("128 columns are not whole blocks of Q2_K") == true)
  }

  @Test(arguments: SuperBlock.allCases.map(type))
  func `the file's bytes are counted for each tensor of a module`(type: GGUFTensorType) throws {
    let checkpoint = try model(type, in: TemporaryFolder())
    let module = "model.layers.0.mlp.up_proj"
    let kinds = try #require(checkpoint.contents.quantization[module]).partKinds
    let forms = kinds.compactMap { kind in
      checkpoint.tensor(named: kind.name(of: module)).flatMap(checkpoint.storedForm)
    }
    #expect(forms.map(\.type) == [type.name, type.name, type.name])
    #expect(forms.map(\.byteCount).reduce(0, +) == 256 * type.blockByteCount)
    // Nothing is stored but what the tensors hold.
    let tensors = kinds.compactMap { checkpoint.tensor(named: $0.name(of: module)) }
    #expect(forms.map(\.byteCount) == tensors.map(\.byteCount))
  }
}
