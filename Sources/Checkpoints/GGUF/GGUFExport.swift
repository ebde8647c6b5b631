/// A checkpoint laid out as a GGUF file: its tensors, their types, its metadata.
package struct GGUFExport: Sendable {
  /// The loss by rounding a tensor.
  package struct Loss: Sendable, Equatable {
    /// The tensor of the checkpoint.
    package let tensor: String
    /// The type that it was rounded to.
    package let type: String
    /// The largest absolute difference of a weight.
    package let maximum: Double
    /// The mean absolute difference of a weight.
    package let mean: Double
  }

  /// The tensors in the order in which a writer takes them, those of a module together; no assets.
  package let contents: CheckpointContents
  /// The tensors that were rounded, in the order of the file.
  package let losses: [Loss]
  let tensors: [GGUFExportTensor]
  let encodings: [GGUFEncoding]
  package let members: [GGUFExportMember]
  /// The tensors that stand for the scaling of the wavelengths; they follow the others.
  let rotaryTensors: [(name: String, values: [Float])]
  /// The vectors that are read back with the last digit rounded, because the file holds other numbers: the sums
  /// of a norm's weights with 1, or exponentials.
  package let roundedTensors: Set<String>

  /// Chooses the types; reads the tables of packed weights, and values if a type is asked for.
  ///
  /// - Parameters:
  ///   - plan: The place of each tensor.
  ///   - checkpoint: Holds the tensors of the plan.
  ///   - options: The types that are asked for.
  /// - Throws: `FormatError` with the tensor; `.notExact` when its type does not hold it and a loss is not
  ///   allowed.
  package init(_ plan: GGUFExportPlan, _ checkpoint: Checkpoint, _ options: GGUFExportOptions) throws {
    tensors = plan.tensors
    var encodings: [GGUFEncoding] = []
    var losses: [Loss] = []
    var exact: Set<String> = []
    var roundedTensors: Set<String> = []
    for tensor in plan.tensors {
      let choice = GGUFExportChoice(tensor: tensor, checkpoint: checkpoint, options: options, path: plan.path)
      let (encoding, partLosses) = try choice.encoding()
      encodings.append(encoding)
      for (part, loss) in zip(tensor.parts, partLosses) {
        if let loss {
          losses.append(
            Loss(tensor: part.name, type: encoding.type.name, maximum: loss.maximum, mean: loss.mean))
        } else if tensor.transform != .none, !tensor.survives(part, try checkpoint.bytes(of: part.name)) {
          roundedTensors.insert(part.name)
        } else {
          exact.insert(part.name)
        }
      }
    }
    self.encodings = encodings
    self.roundedTensors = roundedTensors
    self.losses = losses
    contents = CheckpointContents(
      tensors: plan.tensors.flatMap(\.sources), quantization: plan.contents.quantization,
      metadata: plan.contents.metadata)
    members =
      plan.generalMembers(encodings) + plan.members
      + Self.returnMembers(plan, encodings, exact: exact)
    rotaryTensors = plan.model.rotaryTensors
  }

  /// The bits per quantized weight, including tables; if nothing is quantized, per weight.
  package var bitsPerWeight: Double {
    let all = zip(tensors, encodings)
    let packed = all.filter { $0.1.type.blockElementCount > 1 }
    var (byteCount, count) = (0, 0)
    for (tensor, encoding) in packed.isEmpty ? Array(all) : packed {
      byteCount += encoding.rowByteCount(columnCount: tensor.elementCount)
      count += tensor.elementCount
    }
    return Double(byteCount) * 8 / Double(max(count, 1))
  }

  /// The number of tensors of each type, in the order of the types' first appearance.
  package var typeCounts: [(type: String, count: Int)] {
    var counts: [(type: String, count: Int)] = []
    for encoding in encodings {
      if let i = counts.firstIndex(where: { $0.type == encoding.type.name }) {
        counts[i].count += 1
      } else {
        counts.append((encoding.type.name, 1))
      }
    }
    return counts
  }
}

extension GGUFExport {
  /// The metadata that a reader needs to restore the checkpoint.
  private static func returnMembers(
    _ plan: GGUFExportPlan, _ encodings: [GGUFEncoding], exact: Set<String>
  ) -> [GGUFExportMember] {
    var modules: [JSONValue.Member] = []
    var dtypes: [JSONValue.Member] = []
    for (tensor, encoding) in zip(plan.tensors, encodings) {
      for part in tensor.parts {
        switch part.storage {
        case .packed(let layout, let tensors) where encoding.keepsCodes:
          // Rounded tables are read back as F16, as the file holds them.
          let tables = layout.superBlock == nil && exact.contains(part.name) ? tensors[1].dtype : .f16
          let read =
            layout.zeroPointGrid == nil
            ? layout : .affine(bits: layout.bits, groupSize: layout.groupSize)
          modules.append(GGUFPacking(layout: read, tables: tables).member(of: part.module))
        case .dense(let stored)
        where exact.contains(stored.name) && stored.dtype != encoding.type.dtype:
          dtypes.append(JSONValue.Member(stored.name, .string(stored.dtype.rawValue)))
        default: continue
        }
      }
    }
    // Written even if it is empty, because it marks our own files, whose vectors have the dtypes that it
    // states.
    var document = JSONValue.object([JSONValue.Member("modules", .object(modules))])
    if !dtypes.isEmpty { document.set("dtypes", to: .object(dtypes)) }
    var members = [GGUFExportMember(GGUFStatement.key, .string(document.compactText))]
    if let statement = plan.model.rotaryStatement {
      members.append(GGUFExportMember(GGUFRotary.statementKey, .string(statement.compactText)))
    }
    if plan.contents.metadata != .object([]) {
      members.append(
        GGUFExportMember(GGUFKeys.checkpointMetadataKey, .string(plan.contents.metadata.compactText)))
    }
    return members
  }
}
