# frozen_string_literal: true

require "aws-sigv4"
require "bigdecimal"
require "digest"
require "json"
require "net/http"

# As much of `Aws::SQS::Client` and `Aws::DynamoDB::Client` as the client calls, signed by `aws-sigv4`, since Debian has
# neither gem. It stands in for them in tests alone. It tries nothing again, as a client whose retries are used up.
class SmallAws
  class Error < StandardError; end

  Message = Struct.new(:message_id)
  Found = Struct.new(:item)

  def initialize(endpoint: ENV.fetch("AWS_ENDPOINT_URL"), region: ENV.fetch("AWS_REGION"))
    @endpoint = URI(endpoint)
    @region = region
    @keys = { access_key_id: ENV.fetch("AWS_ACCESS_KEY_ID"), secret_access_key: ENV.fetch("AWS_SECRET_ACCESS_KEY") }
  end

  def send_message(queue_url:, message_body:)
    answer = call("sqs", "AmazonSQS.SendMessage", "QueueUrl" => queue_url, "MessageBody" => message_body)
    raise Error, "SQS has taken another body" unless answer["MD5OfMessageBody"] == Digest::MD5.hexdigest(message_body)

    Message.new(answer["MessageId"])
  end

  def get_item(table_name:, key:, projection_expression:, consistent_read:)
    answer = call(
      "dynamodb", "DynamoDB_20120810.GetItem",
      "TableName" => table_name, "Key" => key.transform_values { |text| { "S" => text } },
      "ProjectionExpression" => projection_expression, "ConsistentRead" => consistent_read
    )
    Found.new(answer["Item"]&.transform_values { |value| plain(value) })
  end

  private

  # As the real client gives values: numbers as BigDecimal.
  def plain(value)
    kind, inner = value.first
    case kind
    when "N" then BigDecimal(inner)
    when "M" then inner.transform_values { |of| plain(of) }
    when "NULL" then nil
    else inner
    end
  end

  def call(service, target, input)
    headers = { "content-type" => "application/x-amz-json-1.0", "x-amz-target" => target }
    body = JSON.generate(input)
    signer = Aws::Sigv4::Signer.new(service: service, region: @region, **@keys)
    signed = signer.sign_request(http_method: "POST", url: @endpoint.to_s, headers: headers, body: body)
    answer = Net::HTTP.start(@endpoint.host, @endpoint.port, max_retries: 0, read_timeout: 600) do |http|
      http.post("/", body, headers.merge(signed.headers))
    end
    raise Error, "#{answer.code}: #{answer.body}" unless answer.is_a?(Net::HTTPSuccess)

    JSON.parse(answer.body)
  end
end
