# frozen_string_literal: true

module Issei
  # Holds a command against the kinds that were generated from its schema, so that a field which is misnamed, missing or
  # of another kind is told where the command is built, and not to whoever looks into the dead-letter queue.
  module Shape
    # Raises CommandError with the field, and what is wrong with it.
    def self.check(command)
      problem = wrong(command, [:kind, "BroadcastCommand"], nil)
      raise CommandError, problem if problem
    end

    # What is wrong with a value; nothing where it is of its kind.
    def self.wrong(value, kind, place)
      name, *rest = kind
      case name
      when :kind then wrong(value, KINDS.fetch(rest.first), place)
      when :object then wrong_object(value, rest.first, place)
      when :one_of then wrong_choice(value, rest, place)
      when :const then told(place, "is none of what is allowed") unless value == rest.first
      when :string then wrong_string(value, *rest, place)
      when :integer then told(place, "is no integer of #{rest.first.begin} or more") unless value.is_a?(Integer) && rest.first.cover?(value)
      when :number then told(place, "is no number in #{rest.first}") unless value.is_a?(Numeric) && rest.first.cover?(value)
      when :boolean then told(place, "is neither true nor false") unless [true, false].include?(value)
      when :list then wrong_list(value, *rest, place)
      when :map then wrong_map(value, rest.first, place)
      end
    end

    def self.wrong_object(value, fields, place)
      return told(place, "is no object") unless value.is_a?(Hash)

      unknown = value.keys.find { |key| !fields.key?(key) }
      return told(under(place, unknown), "is no field; there are #{fields.keys.join(', ')}") if unknown

      missing = fields.keys.find { |key| fields[key].first && value[key].nil? }
      return told(under(place, missing), "is missing") if missing

      value.each do |key, inner|
        problem = wrong(inner, fields[key].last, under(place, key))
        return problem if problem
      end
      nil
    end

    # Of the kinds that it could be, what the one says that it comes nearest to.
    def self.wrong_choice(value, kinds, place)
      problems = kinds.map { |kind| wrong(value, kind, place) }
      return nil if problems.any?(&:nil?)

      meant = kinds.index do |kind|
        kind = KINDS.fetch(kind.last) if kind.first == :kind
        kind.first == :object && value.is_a?(Hash) && kind.last.any? { |key, (must, _)| must && value.key?(key) }
      end
      meant ? problems[meant] : told(place, "is none of what is allowed")
    end

    def self.wrong_string(value, length, pattern, place)
      return told(place, "is no text") unless value.is_a?(String)
      return told(place, "has #{value.length} characters, and #{length} are allowed") unless length.cover?(value.length)

      told(place, "does not match #{pattern.source}") if pattern && !pattern.match?(value)
    end

    def self.wrong_list(value, kind, length, place)
      return told(place, "is no list of #{length}") unless value.is_a?(Array) && length.cover?(value.length)

      value.each_with_index.filter_map { |inner, at| wrong(inner, kind, "#{place}[#{at}]") }.first
    end

    def self.wrong_map(value, kind, place)
      return told(place, "is no object") unless value.is_a?(Hash)

      value.filter_map { |key, inner| wrong(inner, kind, under(place, key)) }.first
    end

    def self.under(place, key)
      [place, key].compact.join(".")
    end

    def self.told(place, problem)
      "field `#{place}` #{problem}"
    end
    private_class_method :wrong, :wrong_object, :wrong_choice, :wrong_string, :wrong_list, :wrong_map, :under, :told
  end
end
