package import Checkpoints

/// A matrix below a numbered layer that is not quantized, and the reason.
package struct UnquantizedModule: Sendable, Equatable {
  /// Why a matrix is left alone.
  package enum Reason: String, Sendable {
    /// It chooses the experts of a token; a wrong choice costs more than its bits.
    case router = "it chooses experts"
    /// It reads images or sounds, or predicts further tokens.
    case outside = "it is outside the language model"
    /// It is small, and what it computes decides how long a state lasts.
    case stateGate = "it controls a recurrent state"
    /// It slides over the tokens.
    case convolution = "it is a convolution"
    /// It has the weights of several experts, and the architecture is not understood.
    case fusedExperts = "it holds several experts of an unknown architecture"
    /// The architecture is understood and computes nothing with it as a linear.
    case noLinear = "it is no linear of the architecture"
  }

  /// The module, or the tensor if it has no ending.
  package let name: String
  /// Why it is left alone.
  package let reason: Reason
}

extension UnquantizedModule.Reason {
  private static let outsideParts: Set<Substring> = [
    "vision_tower", "vision_model", "vision_encoder", "visual", "multi_modal_projector", "mm_projector",
    "audio_tower", "embed_vision", "embed_audio", "mtp",
  ]
  private static let routers: Set<Substring> = ["router", "gate", "shared_expert_gate"]
  private static let convolutions: Set<Substring> = ["conv", "conv1d"]
  private static let stateGates: Set<Substring> = ["in_proj_a", "in_proj_b", "in_proj_ba"]

  /// Why a module of an unknown architecture is no linear to quantize, by its name; nil for one that may be.
  init?(ofName name: String) {
    let parts = name.split(separator: ".")
    guard let last = parts.last else { return nil }
    if !Self.outsideParts.isDisjoint(with: parts) {
      self = .outside
    } else if Self.routers.contains(last) || parts.contains("router") {
      self = .router
    } else if !Self.convolutions.isDisjoint(with: parts) {
      self = .convolution
    } else if Self.stateGates.contains(last) {
      self = .stateGate
    } else {
      return nil
    }
  }
}

extension UnquantizedModule {
  /// The matrices below numbered layers that `quantize` leaves alone whatever it is asked, or unless they are
  /// named.
  ///
  /// - Parameter checkpoint: The checkpoint, with the linears of its experts apart.
  /// - Returns: In the order of the file.
  package static func all(in checkpoint: Checkpoint) -> [UnquantizedModule] {
    let layout = try? ModelLayout(of: checkpoint)
    return checkpoint.contents.tensors.compactMap { tensor in
      let (module, part) = ModuleTensor.split(tensor.name) ?? (tensor.name, .weight)
      guard part == .weight, ModuleDescription.isBelowNumberedLayer(module) else { return nil }
      guard tensor.shape.count == 2 else {
        let isFused = layout == nil && tensor.shape.count == 3 && tensor.dtype.isWeight
        return isFused && module.split(separator: ".").contains("experts")
          ? UnquantizedModule(name: module, reason: .fusedExperts) : nil
      }
      guard let layout else {
        return Reason(ofName: module).map { UnquantizedModule(name: module, reason: $0) }
      }
      guard !layout.isLayerLinear(module) else { return nil }
      let reason: Reason = layout.isRouter(module) ? .router : Reason(ofName: module) ?? .noLinear
      return UnquantizedModule(name: module, reason: reason)
    }
  }
}
