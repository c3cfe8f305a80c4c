# frozen_string_literal: true

require "json"
require "time"
require_relative "issei/kinds"
require_relative "issei/shape"

# Puts a broadcast's command on issei's queue, and reads back how the broadcast stands.
#
# What it must never do: make up an id, or look at a clock. A job that is tried again sends what it was given, byte for
# byte, and that is how issei knows it for the same broadcast.
module Issei
  # A command that issei would refuse. Trying again changes nothing.
  class CommandError < ArgumentError; end

  # Recipients by outcome, counted exactly. The provider has refused those `rejected`; to those `spared` nothing was sent,
  # since they came on the suppression list after the audience was frozen. Those from `delivered` on are as far as the
  # provider has told.
  Totals = Struct.new(:accepted, :rejected, :spared, :in_doubt, :delivered, :bounced, :complained, keyword_init: true)

  # Of the last command that asked for this id in vain.
  Refusal = Struct.new(:at, :reason, keyword_init: true)

  # `state` is one of `enumerating`, `running`, `paused`, `holding`, `stopping`, `stopped` and `complete`, as the ledger
  # has it; `refused` where there is no broadcast since its command was refused, and `absent` where there is neither.
  # `totals` is there once it is over and counted, `refused` where a command of this id was refused.
  Status = Struct.new(:broadcast_id, :state, :recipients, :skipped, :totals, :refused, keyword_init: true) do
    # Nothing more is ever sent.
    def over?
      %w[complete stopped].include?(state)
    end
  end

  # A command of version 2: a Hash of plain data with strings for keys, fit for a job's arguments. Build it once, where
  # somebody decides, and let the job send what it was given.
  def self.build(**fields)
    command = { "version" => 2 }.merge(fields.transform_keys(&:to_s))
    not_after = command["not_after"]
    command["not_after"] = not_after.to_time.utc.iso8601(3) if not_after.respond_to?(:to_time) && !not_after.is_a?(String)
    # Whatever was given as symbols is text on the wire, and in a job's arguments.
    command = JSON.parse(JSON.generate(command))
    Shape.check(command)
    command
  end

  # `sqs` is an `Aws::SQS::Client` and `dynamodb` an `Aws::DynamoDB::Client`, or whatever answers `send_message` and
  # `get_item` as they do, with the region and the credentials of the app's own role.
  class Client
    def initialize(sqs:, dynamodb:, queue_url:, table: "issei-ledger")
      @sqs = sqs
      @dynamodb = dynamodb
      @queue_url = queue_url
      @table = table
    end

    # Puts a command on the queue as it is, and gives SQS's id of the message. An error of SQS leaves open whether it is
    # there, so it is passed on: try again with the same command, as often as you like.
    def deliver(command)
      body = JSON.generate(command)
      if body.bytesize > COMMAND_BYTES_MAX
        raise CommandError,
              "the command has #{body.bytesize} bytes and at most #{COMMAND_BYTES_MAX} are allowed; shorten its content"
      end
      @sqs.send_message(queue_url: @queue_url, message_body: body).message_id
    end

    # How a broadcast stands, in two reads of one item each.
    def status(broadcast_id)
      found = item("b##{broadcast_id}", "broadcast", %w[broadcast_state recipients skipped created_at totals])
      refused = item("refused", broadcast_id, %w[refused_at reason])
      # A command may have been refused before the broadcast was taken. Without the Z, moments sort as text.
      refused = nil if found && refused && refused["refused_at"].chomp("Z") < found["created_at"].chomp("Z")
      Status.new(
        broadcast_id: broadcast_id,
        state: found ? found["broadcast_state"] : (refused ? "refused" : "absent"),
        recipients: found ? found["recipients"].to_i : 0,
        skipped: found ? found["skipped"].to_i : 0,
        totals: totals(found && found["totals"]),
        refused: refused && Refusal.new(at: refused["refused_at"], reason: refused["reason"])
      )
    end

    private

    def totals(counted)
      return unless counted

      totals = Totals.new(**Totals.members.to_h { |name| [name, counted[name.to_s].to_i] })
      # In the ledger those spared stand among those rejected, where earlier versions look for them.
      totals.rejected = [totals.rejected - totals.spared, 0].max
      totals
    end

    def item(partition, sort, attributes)
      @dynamodb.get_item(
        table_name: @table,
        key: { "pk" => partition, "sk" => sort },
        projection_expression: attributes.join(", "),
        consistent_read: true
      ).item
    end
  end
end
