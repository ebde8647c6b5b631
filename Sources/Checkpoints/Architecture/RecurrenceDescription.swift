/// An operation that passes the tokens in order through a state of fixed size.
package enum RecurrenceDescription: Sendable, Equatable {
  /// The gated delta rule behind a short convolution.
  case deltaNet(DeltaNetDescription)
  /// A convolution over the last tokens between two gates.
  case shortConvolution(ShortConvolutionDescription)

  /// The tensors that are no norm, in the order of the computation.
  package var vectors: [TensorSlot] {
    switch self {
    case .deltaNet(let net): [net.convolution, net.logDecay, net.stepBias]
    case .shortConvolution(let short): [short.convolution] + (short.bias.map { [$0] } ?? [])
    }
  }

  /// The norm of the result, if there is one.
  package var norm: NormDescription? {
    switch self {
    case .deltaNet(let net): net.norm
    case .shortConvolution: nil
    }
  }

  /// The number of floats of the state of one sequence.
  package var stateCount: Int {
    switch self {
    case .deltaNet(let net): net.stateCount
    case .shortConvolution(let short): (short.tapCount - 1) * short.width
    }
  }
}

/// A gated delta net: queries, keys and values of a short convolution, and a state for each head.
///
/// Its input has queries, keys, values, gates, then a rate and a step for each value head. The state `S`,
/// `[keyHeadSize, valueHeadSize]`, becomes `S' + k ⊗ rate · (v - S'ᵀ k)` with `S' = decay · S`, and the result
/// is `Sᵀ q`, normalized and multiplied by `silu(gate)`.
///
/// Source: Gated Delta Networks, arXiv:2412.06464, section 3; the layer of Qwen 3.5 in transformers.
package struct DeltaNetDescription: Sendable, Equatable {
  /// The number of heads of queries and of keys; divides `valueHeadCount`.
  package let keyHeadCount: Int
  /// The number of heads of values; consecutive ones read the same queries and keys.
  package let valueHeadCount: Int
  /// The width of a head of queries and of keys.
  package let keyHeadSize: Int
  /// The width of a head of values.
  package let valueHeadSize: Int
  /// The taps over each column of queries, keys and values, `[channels, 1, taps]`; the last tap multiplies the
  /// token itself.
  package let convolution: TensorSlot
  /// The logarithm of the speed with which each head forgets, `[value heads]`.
  package let logDecay: TensorSlot
  /// What is added to the steps, `[value heads]`.
  package let stepBias: TensorSlot
  /// The norm of each head's result.
  package let norm: NormDescription

  /// The width of the queries, and of the keys.
  package var keyWidth: Int { keyHeadCount * keyHeadSize }
  /// The width of the values, of the gates, and of the result.
  package var valueWidth: Int { valueHeadCount * valueHeadSize }
  /// The columns that the convolution reads: queries, keys and values.
  package var channelCount: Int { 2 * keyWidth + valueWidth }
  /// The width of the input.
  package var inputWidth: Int { channelCount + valueWidth + 2 * valueHeadCount }
  /// The number of tokens that the convolution reads, the current one included.
  package var tapCount: Int { convolution.shape[2] }
  /// The number of floats of the states of all heads.
  package var headStateCount: Int { valueHeadCount * keyHeadSize * valueHeadSize }
  /// The number of floats of the state of one sequence.
  package var stateCount: Int { (tapCount - 1) * channelCount + headStateCount }
}

/// A convolution over the last tokens between two gates, as in LFM2.
///
/// Its input has two gates and a value side by side, `[b, c, x]`; the result is `c · convolution(b · x)`.
package struct ShortConvolutionDescription: Sendable, Equatable {
  /// The number of columns of each gate, of the value and of the result.
  package let width: Int
  /// The taps over each column, `[width, 1, taps]`; the last tap multiplies the token itself.
  package let convolution: TensorSlot
  /// What is added to the convolution, `[width]`; nil without one.
  package let bias: TensorSlot?

  /// The number of tokens that the convolution reads, the current one included.
  package var tapCount: Int { convolution.shape[2] }
}
