//! Each call of an SDK behind one pointer, compiled here and nowhere else.
//!
//! What `send()` gives is the whole way of a call, six to seven kilobytes, which whoever awaits it carries along, moves
//! with everything else, and compiles once more. `call()` is the same call, and 16 bytes of it.
//!
//! Never for what is customized: that is behind a pointer in the SDK already.

use std::pin::Pin;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;

/// What is under way, and what it ends with.
pub(crate) type Calling<T, E> = Pin<Box<dyn Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send>>;

/// A request of an SDK that can be made.
pub trait AwsCall {
    type Answer;
    type Error;

    /// Makes the call, as the SDK's own `send()` does.
    fn call(self) -> Calling<Self::Answer, Self::Error>;
}

macro_rules! calls {
    ($($krate:ident::operation::$operation:ident: $request:ident => $answer:ident, $error:ident;)*) => {
        $(impl AwsCall for $krate::operation::$operation::builders::$request {
            type Answer = $krate::operation::$operation::$answer;
            type Error = $krate::operation::$operation::$error;

            fn call(self) -> Calling<Self::Answer, Self::Error> {
                Box::pin(self.send())
            }
        })*
    };
}

calls! {
    aws_sdk_dynamodb::operation::batch_get_item: BatchGetItemFluentBuilder => BatchGetItemOutput, BatchGetItemError;
    aws_sdk_dynamodb::operation::batch_write_item: BatchWriteItemFluentBuilder => BatchWriteItemOutput, BatchWriteItemError;
    aws_sdk_dynamodb::operation::create_table: CreateTableFluentBuilder => CreateTableOutput, CreateTableError;
    aws_sdk_dynamodb::operation::delete_item: DeleteItemFluentBuilder => DeleteItemOutput, DeleteItemError;
    aws_sdk_dynamodb::operation::delete_table: DeleteTableFluentBuilder => DeleteTableOutput, DeleteTableError;
    aws_sdk_dynamodb::operation::describe_continuous_backups: DescribeContinuousBackupsFluentBuilder => DescribeContinuousBackupsOutput, DescribeContinuousBackupsError;
    aws_sdk_dynamodb::operation::describe_table: DescribeTableFluentBuilder => DescribeTableOutput, DescribeTableError;
    aws_sdk_dynamodb::operation::describe_time_to_live: DescribeTimeToLiveFluentBuilder => DescribeTimeToLiveOutput, DescribeTimeToLiveError;
    aws_sdk_dynamodb::operation::get_item: GetItemFluentBuilder => GetItemOutput, GetItemError;
    aws_sdk_dynamodb::operation::put_item: PutItemFluentBuilder => PutItemOutput, PutItemError;
    aws_sdk_dynamodb::operation::query: QueryFluentBuilder => QueryOutput, QueryError;
    aws_sdk_dynamodb::operation::scan: ScanFluentBuilder => ScanOutput, ScanError;
    aws_sdk_dynamodb::operation::transact_write_items: TransactWriteItemsFluentBuilder => TransactWriteItemsOutput, TransactWriteItemsError;
    aws_sdk_dynamodb::operation::update_continuous_backups: UpdateContinuousBackupsFluentBuilder => UpdateContinuousBackupsOutput, UpdateContinuousBackupsError;
    aws_sdk_dynamodb::operation::update_item: UpdateItemFluentBuilder => UpdateItemOutput, UpdateItemError;
    aws_sdk_dynamodb::operation::update_time_to_live: UpdateTimeToLiveFluentBuilder => UpdateTimeToLiveOutput, UpdateTimeToLiveError;
    aws_sdk_sqs::operation::change_message_visibility: ChangeMessageVisibilityFluentBuilder => ChangeMessageVisibilityOutput, ChangeMessageVisibilityError;
    aws_sdk_sqs::operation::change_message_visibility_batch: ChangeMessageVisibilityBatchFluentBuilder => ChangeMessageVisibilityBatchOutput, ChangeMessageVisibilityBatchError;
    aws_sdk_sqs::operation::create_queue: CreateQueueFluentBuilder => CreateQueueOutput, CreateQueueError;
    aws_sdk_sqs::operation::delete_message: DeleteMessageFluentBuilder => DeleteMessageOutput, DeleteMessageError;
    aws_sdk_sqs::operation::delete_message_batch: DeleteMessageBatchFluentBuilder => DeleteMessageBatchOutput, DeleteMessageBatchError;
    aws_sdk_sqs::operation::get_queue_attributes: GetQueueAttributesFluentBuilder => GetQueueAttributesOutput, GetQueueAttributesError;
    aws_sdk_sqs::operation::get_queue_url: GetQueueUrlFluentBuilder => GetQueueUrlOutput, GetQueueUrlError;
    aws_sdk_sqs::operation::list_queue_tags: ListQueueTagsFluentBuilder => ListQueueTagsOutput, ListQueueTagsError;
    aws_sdk_sqs::operation::purge_queue: PurgeQueueFluentBuilder => PurgeQueueOutput, PurgeQueueError;
    aws_sdk_sqs::operation::receive_message: ReceiveMessageFluentBuilder => ReceiveMessageOutput, ReceiveMessageError;
    aws_sdk_sqs::operation::send_message: SendMessageFluentBuilder => SendMessageOutput, SendMessageError;
    aws_sdk_sqs::operation::send_message_batch: SendMessageBatchFluentBuilder => SendMessageBatchOutput, SendMessageBatchError;
    aws_sdk_sqs::operation::set_queue_attributes: SetQueueAttributesFluentBuilder => SetQueueAttributesOutput, SetQueueAttributesError;
    aws_sdk_sqs::operation::start_message_move_task: StartMessageMoveTaskFluentBuilder => StartMessageMoveTaskOutput, StartMessageMoveTaskError;
    aws_sdk_sqs::operation::tag_queue: TagQueueFluentBuilder => TagQueueOutput, TagQueueError;
    aws_sdk_sesv2::operation::batch_get_metric_data: BatchGetMetricDataFluentBuilder => BatchGetMetricDataOutput, BatchGetMetricDataError;
    aws_sdk_sesv2::operation::create_configuration_set: CreateConfigurationSetFluentBuilder => CreateConfigurationSetOutput, CreateConfigurationSetError;
    aws_sdk_sesv2::operation::create_configuration_set_event_destination: CreateConfigurationSetEventDestinationFluentBuilder => CreateConfigurationSetEventDestinationOutput, CreateConfigurationSetEventDestinationError;
    aws_sdk_sesv2::operation::create_email_identity: CreateEmailIdentityFluentBuilder => CreateEmailIdentityOutput, CreateEmailIdentityError;
    aws_sdk_sesv2::operation::get_account: GetAccountFluentBuilder => GetAccountOutput, GetAccountError;
    aws_sdk_sesv2::operation::get_configuration_set: GetConfigurationSetFluentBuilder => GetConfigurationSetOutput, GetConfigurationSetError;
    aws_sdk_sesv2::operation::get_configuration_set_event_destinations: GetConfigurationSetEventDestinationsFluentBuilder => GetConfigurationSetEventDestinationsOutput, GetConfigurationSetEventDestinationsError;
    aws_sdk_sesv2::operation::get_email_identity: GetEmailIdentityFluentBuilder => GetEmailIdentityOutput, GetEmailIdentityError;
    aws_sdk_sesv2::operation::get_email_template: GetEmailTemplateFluentBuilder => GetEmailTemplateOutput, GetEmailTemplateError;
    aws_sdk_sesv2::operation::put_configuration_set_sending_options: PutConfigurationSetSendingOptionsFluentBuilder => PutConfigurationSetSendingOptionsOutput, PutConfigurationSetSendingOptionsError;
    aws_sdk_sesv2::operation::put_configuration_set_suppression_options: PutConfigurationSetSuppressionOptionsFluentBuilder => PutConfigurationSetSuppressionOptionsOutput, PutConfigurationSetSuppressionOptionsError;
    aws_sdk_sesv2::operation::put_suppressed_destination: PutSuppressedDestinationFluentBuilder => PutSuppressedDestinationOutput, PutSuppressedDestinationError;
    aws_sdk_sesv2::operation::send_bulk_email: SendBulkEmailFluentBuilder => SendBulkEmailOutput, SendBulkEmailError;
    aws_sdk_sts::operation::get_caller_identity: GetCallerIdentityFluentBuilder => GetCallerIdentityOutput, GetCallerIdentityError;
}
